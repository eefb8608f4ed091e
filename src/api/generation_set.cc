#include "api/generation_set.h"

namespace quern::api {

namespace {

size_t EventBytes(const engine::Event& event) {
  size_t bytes = sizeof(event);
  if (const auto* token = std::get_if<engine::TokenEvent>(&event)) {
    bytes += token->top.size() * sizeof(engine::TokenLogprob);
  }
  return bytes;
}

}  // namespace

// Shared with the sinks that the backend calls. The backend's thread touches nothing else.
struct GenerationSet::Queue {
  std::mutex mutex;
  std::vector<std::pair<size_t, engine::Event>> events;  // guarded by mutex
  size_t bytes = 0;                                      // guarded by mutex
  bool posted = false;                                   // guarded by mutex: a Drain is on its way
  bool overflowed = false;                               // guarded by mutex
  size_t max_bytes = 0;
  std::shared_ptr<ResponseSink> sink;
  std::weak_ptr<GenerationSet> owner;
};

std::shared_ptr<GenerationSet> GenerationSet::Create(std::shared_ptr<ResponseSink> sink, size_t max_pending_bytes,
                                                     Callbacks callbacks) {
  auto set =
      std::shared_ptr<GenerationSet>(new GenerationSet(std::move(sink), max_pending_bytes, std::move(callbacks)));
  set->queue_->owner = set;
  return set;
}

GenerationSet::GenerationSet(std::shared_ptr<ResponseSink> sink, size_t max_pending_bytes, Callbacks callbacks)
    : sink_(std::move(sink)), callbacks_(std::move(callbacks)), queue_(std::make_shared<Queue>()) {
  queue_->max_bytes = max_pending_bytes;
  queue_->sink = sink_;
}

GenerationSet::~GenerationSet() { StopAll(); }

Result<void> GenerationSet::Submit(engine::Backend& backend, engine::GenerateRequest request) {
  const size_t index = running_.size();
  auto on_event = [queue = queue_, index](const engine::Event& event) {
    {
      const std::lock_guard lock(queue->mutex);
      // A prompt's log-probabilities are one event whose size the request itself fixed; only what repeats is counted.
      const size_t bytes = EventBytes(event);
      if (queue->bytes + bytes > queue->max_bytes) {
        queue->overflowed = true;
      } else {
        queue->bytes += bytes;
        queue->events.emplace_back(index, event);
      }
      if (queue->posted) return;
      queue->posted = true;
    }
    queue->sink->Post([owner = queue->owner] {
      if (const auto set = owner.lock()) set->Drain();
    });
  };
  // Events may arrive before Submit returns; they wait in the queue for the strand, which is busy here.
  QUERN_ASSIGN(engine::Generation generation, backend.Submit(std::move(request), std::move(on_event)));
  running_.push_back(std::move(generation));
  live_.push_back(1);
  return {};
}

void GenerationSet::Stop(size_t index) {
  if (live_[index] == 0) return;
  live_[index] = 0;
  running_[index].Reset();
}

void GenerationSet::StopAll() {
  for (size_t i = 0; i < running_.size(); ++i) Stop(i);
  callbacks_ = {};
}

void GenerationSet::Drain() {
  const auto self = shared_from_this();
  std::vector<std::pair<size_t, engine::Event>> events;
  bool overflowed = false;
  {
    const std::lock_guard lock(queue_->mutex);
    events.swap(queue_->events);
    queue_->bytes = 0;
    queue_->posted = false;
    overflowed = queue_->overflowed;
  }
  // Copies, because a callback may call StopAll, which drops callbacks_.
  const auto on_event = callbacks_.on_event;
  const auto on_batch_end = callbacks_.on_batch_end;
  const auto on_overflow = callbacks_.on_overflow;
  if (overflowed && on_overflow) {
    on_overflow();
    return;
  }
  for (const auto& [index, event] : events) {
    if (index >= live_.size() || live_[index] == 0) continue;
    if (std::holds_alternative<engine::FinishedEvent>(event)) live_[index] = 0;
    if (on_event) on_event(index, event);
  }
  if (callbacks_.on_batch_end) on_batch_end();
}

}  // namespace quern::api
