// Where the answer to a line of a batch goes: no connection, the strand is the batch worker's thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "api/http.h"

namespace quern::api {

// Functions for one thread, put in by others. Thread-safe.
class Mailbox {
 public:
  // Dropped when the box is closed.
  void Put(std::function<void()> fn);
  // Wakes a waiting TakeAll with nothing new in the box.
  void Ring();
  // What is there; waits for the first until `deadline`.
  std::deque<std::function<void()>> TakeAll(std::chrono::steady_clock::time_point deadline);
  // Drops everything, now and from now on.
  void Close();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> functions_;
  bool rung_ = false;
  bool closed_ = false;
};

// Takes one whole answer; lines of batches are not streamed. Owned by the callbacks of the request and by the worker;
// everything but Post on the worker's thread.
class BatchSink final : public ResponseSink {
 public:
  struct Answer {
    int status = 0;
    std::string request_id;
    std::string body;
  };

  // done is called once, unless the sink is left before.
  BatchSink(std::shared_ptr<Mailbox> mailbox, std::function<void(Answer)> done)
      : mailbox_(std::move(mailbox)), done_(std::move(done)) {}

  void SendWhole(int status, std::vector<Header> headers, std::string body) override;
  // A stream is not asked for, so these do not happen; if they do, the line fails.
  void StartStream(int status, std::vector<Header> headers) override;
  void Write(std::string) override {}
  void Close() override;
  void Abort() override { Close(); }
  size_t unsent_bytes() const override { return 0; }

  void Post(std::function<void()> fn) override { mailbox_->Put(std::move(fn)); }
  // Timers serve streams alone.
  void SetTimer(std::chrono::milliseconds, std::function<void()>) override {}
  void OnHalfClosed(std::function<void()>) override {}
  void OnDrained(std::function<void()>) override {}
  void OnGone(std::function<void()> fn) override {
    if (done_) on_gone_ = std::move(fn);
  }

  // The answer is not wanted any more.
  void Leave();

 private:
  void Finish(Answer answer);

  const std::shared_ptr<Mailbox> mailbox_;
  std::function<void(Answer)> done_;
  std::function<void()> on_gone_;
};

}  // namespace quern::api
