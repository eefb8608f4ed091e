// The wire between a backend's thread and the owner of a Generation: delivers events until told to stop and carries
// the wish to cancel back. Shared by both sides.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/engine.h"

namespace quern::engine {

// Emit() on the backend's thread; everything else on any thread.
class EventStream final : public Generation::Impl {
 public:
  // wake: called by Cancel() and Detach() after the flag is set, so that a sleeping backend notices; any thread.
  EventStream(EventSink sink, std::function<void()> wake);

  void Cancel() override;

  // Waits for a sink call that is running on another thread; the sink and what it captured are destroyed on return.
  void Detach() override;

  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // Delivers unless detached. FinishedEvent must come last and once.
  void Emit(const Event& event);

 private:
  const std::function<void()> wake_;
  std::atomic<bool> cancelled_{false};
  std::mutex sink_mutex_;                       // held while the sink runs
  std::atomic<std::thread::id> sink_thread_{};  // who is inside the sink
  std::atomic<bool> detached_{false};
  EventSink sink_;
};

}  // namespace quern::engine
