// The generations of one request, brought from the backend's thread to the connection's strand. The backend's thread
// only appends to a bounded queue and wakes the strand; text and JSON are made on the strand.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "api/http.h"
#include "base/status.h"
#include "engine/engine.h"

namespace quern::api {

// Owned by the answer; strand only, except where stated. When the owner lets go, everything still running is cancelled
// and no callback runs any more.
class GenerationSet : public std::enable_shared_from_this<GenerationSet> {
 public:
  struct Callbacks {
    // An event of generation number `index`; FinishedEvent is the last one for it.
    std::function<void(size_t index, const engine::Event&)> on_event;
    // After a batch of events was handed over: the place to write to the socket.
    std::function<void()> on_batch_end;
    // The queue passed max_pending_bytes; all generations were stopped.
    std::function<void()> on_overflow;
  };

  static std::shared_ptr<GenerationSet> Create(std::shared_ptr<ResponseSink> sink, size_t max_pending_bytes,
                                               Callbacks callbacks);
  ~GenerationSet();

  // Starts one more generation, with the next index. Errors: those of Backend::Submit; earlier ones go on.
  Result<void> Submit(engine::Backend& backend, engine::GenerateRequest request);

  // Asks the backend to stop; events go on until its FinishedEvent.
  void Cancel(size_t index) { running_[index].Cancel(); }
  // Cancels; no event of it is delivered from now on. Idempotent.
  void Stop(size_t index);
  // Stops everything, and breaks the ownership cycle with the callbacks.
  void StopAll();

 private:
  struct Queue;

  GenerationSet(std::shared_ptr<ResponseSink> sink, size_t max_pending_bytes, Callbacks callbacks);
  void Drain();

  std::shared_ptr<ResponseSink> sink_;
  Callbacks callbacks_;
  std::shared_ptr<Queue> queue_;
  std::vector<engine::Generation> running_;
  std::vector<char> live_;
};

}  // namespace quern::api
