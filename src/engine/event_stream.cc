#include "engine/event_stream.h"

namespace quern::engine {

EventStream::EventStream(EventSink sink, std::function<void()> wake) : wake_(std::move(wake)), sink_(std::move(sink)) {}

void EventStream::Cancel() {
  if (!cancelled_.exchange(true, std::memory_order_acq_rel)) wake_();
}

void EventStream::Detach() {
  detached_.store(true, std::memory_order_release);
  // A sink that drops its own handle breaks the contract, but waiting for itself would hang every other request.
  if (sink_thread_.load(std::memory_order_acquire) != std::this_thread::get_id()) {
    EventSink doomed;
    std::lock_guard lock(sink_mutex_);
    doomed.swap(sink_);
  }
  Cancel();
}

void EventStream::Emit(const Event& event) {
  std::lock_guard lock(sink_mutex_);
  if (detached_.load(std::memory_order_acquire) || !sink_) return;
  sink_thread_.store(std::this_thread::get_id(), std::memory_order_release);
  sink_(event);
  sink_thread_.store(std::thread::id(), std::memory_order_release);
}

}  // namespace quern::engine
