#include "api/batch_sink.h"

namespace quern::api {

void Mailbox::Put(std::function<void()> fn) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    functions_.push_back(std::move(fn));
  }
  changed_.notify_one();
}

void Mailbox::Ring() {
  {
    const std::lock_guard lock(mutex_);
    rung_ = true;
  }
  changed_.notify_one();
}

std::deque<std::function<void()>> Mailbox::TakeAll(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [this] { return rung_ || !functions_.empty(); });
  rung_ = false;
  return std::exchange(functions_, {});
}

void Mailbox::Close() {
  std::deque<std::function<void()>> dropped;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(functions_);
}

void BatchSink::SendWhole(int status, std::vector<Header> headers, std::string body) {
  Answer answer{status, "", std::move(body)};
  for (const Header& header : headers) {
    if (header.name == "x-request-id") answer.request_id = header.value;
  }
  Finish(std::move(answer));
}

void BatchSink::StartStream(int, std::vector<Header>) {}

void BatchSink::Close() { Finish({500, "", R"({"error":{"message":"a batch line cannot be streamed"}})"}); }

void BatchSink::Finish(Answer answer) {
  const auto done = std::exchange(done_, nullptr);
  // The handler may hold what is called here; it is let go at the end, not in the middle of itself.
  mailbox_->Put([gone = std::exchange(on_gone_, nullptr)] {});
  if (done) done(std::move(answer));
}

void BatchSink::Leave() {
  done_ = nullptr;
  if (const auto fn = std::exchange(on_gone_, nullptr)) fn();
}

}  // namespace quern::api
