#include "engine/model_host.h"

#include <fmt/core.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/event_stream.h"
#include "engine/memory_plan.h"
#include "engine/request_check.h"

namespace quern::engine {
namespace {

using Clock = std::chrono::steady_clock;
using State = Residency::State;

// After a model could not be loaded, requests get that error for so long before it is tried again.
constexpr std::chrono::seconds kFailureRest{5};

class Ticket;

struct Slot {
  explicit Slot(OnDemandModel described) : model(std::move(described)) {}

  const OnDemandModel model;
  // All guarded by the host's mutex.
  State state = State::kUnloaded;
  bool leaving = false;   // takes no more requests, and its memory is not free yet
  bool yielding = false;  // loaded and in use; new requests wait until it is loaded again
  bool draining = false;
  std::shared_ptr<Backend> backend;  // null unless loaded
  int n_uses = 0;                    // generations that hold it
  int n_background_uses = 0;         // of these
  Clock::time_point loaded_at{};
  Clock::time_point last_used{};
  Clock::time_point unload_at = Clock::time_point::max();  // meaningful while n_uses == 0
  std::deque<std::shared_ptr<Ticket>> waiting;
  std::optional<Status> failure;
  Clock::time_point failed_at{};
  BackendStats retired;  // counters of backends that were unloaded
};

Clock::time_point UnloadTime(Clock::time_point last_used, std::chrono::milliseconds keep_alive) {
  // Beyond a year it is as good as for good, and the sum cannot overflow.
  const bool for_good = keep_alive.count() < 0 || keep_alive > std::chrono::hours(24 * 366);
  return for_good ? Clock::time_point::max() : last_used + keep_alive;
}

void AddCounters(const BackendStats& from, BackendStats& to) {
  to.n_prompt_tokens += from.n_prompt_tokens;
  to.n_generated_tokens += from.n_generated_tokens;
  to.n_finished += from.n_finished;
  to.n_cancelled += from.n_cancelled;
  to.n_failed += from.n_failed;
  to.prompt_seconds += from.prompt_seconds;
  to.generate_seconds += from.generate_seconds;
}

// A loaded backend, kept in memory while this lives.
using Use = std::shared_ptr<Backend>;

// The Generation that the submitter holds: first a place in the queue for the model, then the model's own generation.
class Ticket final : public Generation::Impl, public std::enable_shared_from_this<Ticket> {
 public:
  Ticket(GenerateRequest wanted, Clock::time_point until)
      : keep_alive_(wanted.keep_alive),
        background_(wanted.priority == Priority::kBackground),
        n_prompt_(static_cast<int>(wanted.prompt.size())),
        request_(std::move(wanted)),
        until_(until) {}

  // wake: called when the wish to cancel came; any thread.
  void Attach(EventSink sink, std::function<void()> wake) {
    stream_ = std::make_shared<EventStream>(std::move(sink), [weak = weak_from_this(), wake = std::move(wake)] {
      if (const auto self = weak.lock()) self->CancelInner();
      wake();
    });
  }

  void Cancel() override { stream_->Cancel(); }

  void Detach() override {
    stream_->Detach();
    Generation inner;
    Use use;
    {
      std::lock_guard lock(mutex_);
      detached_ = true;
      inner = std::move(inner_);
      use.swap(use_);
    }
    inner.Reset();
  }

  // Hands the request to its model.
  Result<void> Start(Use use) {
    std::lock_guard lock(mutex_);
    if (detached_) return {};
    QUERN_ASSIGN(inner_, use->Submit(std::move(request_), [stream = stream_](const Event& e) { stream->Emit(e); }));
    use_ = std::move(use);
    if (stream_->cancelled()) inner_.Cancel();
    return {};
  }

  // Ends it without a model. Not under any lock: the sink runs.
  void End(FinishReason reason, Status error) {
    stream_->Emit(FinishedEvent{reason, n_prompt_, 0, 0, std::move(error)});
  }

  bool cancelled() const { return stream_->cancelled(); }
  std::optional<std::chrono::milliseconds> keep_alive() const { return keep_alive_; }
  bool background() const { return background_; }
  Clock::time_point asked_at() const { return asked_at_; }
  Clock::time_point until() const { return until_; }

 private:
  void CancelInner() {
    std::lock_guard lock(mutex_);
    inner_.Cancel();
  }

  const std::optional<std::chrono::milliseconds> keep_alive_;
  const bool background_;
  const int n_prompt_;
  std::mutex mutex_;
  GenerateRequest request_;  // until it is handed over
  const Clock::time_point asked_at_ = Clock::now();
  const Clock::time_point until_;
  std::shared_ptr<EventStream> stream_;
  Generation inner_;       // guarded by mutex_
  Use use_;                // guarded by mutex_; let go of after inner_
  bool detached_ = false;  // guarded by mutex_
};

// Which of two goes first.
bool Before(const Ticket& a, const Ticket& b) {
  if (a.background() != b.background()) return b.background();
  return a.asked_at() < b.asked_at();
}

// Of those that wait for the slot's model the one that goes first; null when there are none.
const Ticket* FirstOf(const Slot& slot) {
  const Ticket* first = nullptr;
  for (const auto& ticket : slot.waiting) {
    if (first == nullptr || Before(*ticket, *first)) first = ticket.get();
  }
  return first;
}

}  // namespace

class ModelHost::Impl : public std::enable_shared_from_this<ModelHost::Impl> {
 public:
  explicit Impl(const Options& options) : options_(options) {}

  void Run() {
    watcher_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "quern-models");
      Watch();
    });
    loader_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "quern-loader");
      Work();
    });
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    watcher_.join();
    loader_.join();
  }

  Result<std::shared_ptr<Slot>> Add(OnDemandModel model) {
    if (model.bytes > options_.memory) {
      return Error(Code::kExhausted, fmt::format("the model takes {}, the memory for models is {} (see --memory)",
                                                 BytesText(model.bytes), BytesText(options_.memory)));
    }
    auto slot = std::make_shared<Slot>(std::move(model));
    std::lock_guard lock(mutex_);
    slots_.push_back(slot);
    return slot;
  }

  Result<Generation> Submit(const std::shared_ptr<Slot>& slot, GenerateRequest request, EventSink sink);
  BackendStats StatsOf(const Slot& slot) const;
  Residency ResidencyOf(const Slot& slot) const;
  void Drain(Slot& slot);

 private:
  struct Ended {
    std::shared_ptr<Ticket> ticket;
    FinishReason reason;
    Status error;
  };
  struct Started {
    std::shared_ptr<Ticket> ticket;
    Use use;
  };

  // ---- under mutex_ ----

  // The slot's backend, counted as in use until the last copy of the result is gone.
  Use TakeUse(const std::shared_ptr<Slot>& slot, const Ticket& ticket);
  // All that wait for a loaded model.
  std::vector<Started> TakeWaiting(const std::shared_ptr<Slot>& slot);
  std::vector<Ended> TakeOverdue(Clock::time_point now);
  void MarkIdleToLeave(Clock::time_point now);
  std::shared_ptr<Slot> NextToLoad() const;
  void ScheduleNextLoad(Clock::time_point now);
  void MakeOneYield(const Ticket& to, Clock::time_point now);
  std::vector<Started> TakeThoseNotToYield();
  uint64_t BytesInUse() const;
  Slot* LeastRecentlyUsed() const;
  Status TooLate(const Slot& slot) const;
  Clock::time_point NextTime() const;

  // ---- threads ----

  void Watch();
  void Work();
  void Load(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Slot>& slot);
  void Unload(std::unique_lock<std::mutex>& lock, Slot& slot);
  void GiveBack(const std::shared_ptr<Slot>& slot, std::chrono::milliseconds keep_alive, bool background);
  // Not under mutex_.
  static void StartAll(std::vector<Started> all);

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::vector<std::shared_ptr<Slot>> slots_;
  std::shared_ptr<Slot> next_load_;  // for the loading thread
  std::thread watcher_, loader_;
};

Use ModelHost::Impl::TakeUse(const std::shared_ptr<Slot>& slot, const Ticket& ticket) {
  const bool background = ticket.background();
  ++slot->n_uses;
  slot->n_background_uses += background ? 1 : 0;
  slot->last_used = Clock::now();
  const auto keep = ticket.keep_alive().value_or(slot->model.keep_alive);
  return {slot->backend.get(),
          [self = shared_from_this(), slot, keep, background, kept = slot->backend](Backend*) mutable {
            kept.reset();
            self->GiveBack(slot, keep, background);
          }};
}

std::vector<ModelHost::Impl::Started> ModelHost::Impl::TakeWaiting(const std::shared_ptr<Slot>& slot) {
  std::vector<Started> all;
  for (auto& ticket : slot->waiting) {
    Use use = TakeUse(slot, *ticket);
    all.push_back({std::move(ticket), std::move(use)});
  }
  slot->waiting.clear();
  return all;
}

void ModelHost::Impl::StartAll(std::vector<Started> all) {
  for (Started& one : all) {
    if (const auto started = one.ticket->Start(std::move(one.use)); !started) {
      one.ticket->End(FinishReason::kError, started.error());
    }
  }
}

void ModelHost::Impl::GiveBack(const std::shared_ptr<Slot>& slot, std::chrono::milliseconds keep_alive,
                               bool background) {
  {
    std::lock_guard lock(mutex_);
    --slot->n_uses;
    slot->n_background_uses -= background ? 1 : 0;
    slot->last_used = Clock::now();
    slot->unload_at = UnloadTime(slot->last_used, keep_alive);
  }
  changed_.notify_all();
}

Result<Generation> ModelHost::Impl::Submit(const std::shared_ptr<Slot>& slot, GenerateRequest request, EventSink sink) {
  const OnDemandModel& model = slot->model;
  QUERN_TRY(CheckRequest(request, model.info, model.limits));
  const auto now = Clock::now();
  const auto until = std::min(DeadlineOf(request, model.limits), now + options_.load_timeout);
  auto ticket = std::make_shared<Ticket>(std::move(request), until);
  ticket->Attach(std::move(sink), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->changed_.notify_all();
  });
  Use use;
  {
    std::lock_guard lock(mutex_);
    if (slot->draining || stopping_) return Error(Code::kUnavailable, "the server is shutting down");
    if (slot->failure && now < slot->failed_at + kFailureRest) return std::unexpected(*slot->failure);
    if (slot->state == State::kLoaded && !slot->leaving && !slot->yielding) {
      use = TakeUse(slot, *ticket);
    } else {
      const size_t room = static_cast<size_t>(model.limits.max_running) + static_cast<size_t>(model.limits.max_waiting);
      if (slot->waiting.size() >= room) {
        return Error(Code::kExhausted, fmt::format("{} requests wait for model {} to be loaded, the limit is {}", room,
                                                   model.name, room));
      }
      slot->waiting.push_back(ticket);
    }
  }
  if (use) {
    QUERN_TRY(ticket->Start(std::move(use)));
  } else {
    changed_.notify_all();
  }
  return Generation(std::move(ticket));
}

std::vector<ModelHost::Impl::Ended> ModelHost::Impl::TakeOverdue(Clock::time_point now) {
  std::vector<Ended> ended;
  for (const auto& slot : slots_) {
    for (auto& ticket : slot->waiting) {
      const bool cancelled = ticket->cancelled() || stopping_;
      if (!cancelled && now < ticket->until()) continue;
      ended.push_back({std::move(ticket), cancelled ? FinishReason::kCancelled : FinishReason::kError, TooLate(*slot)});
    }
    std::erase(slot->waiting, nullptr);
  }
  return ended;
}

Status ModelHost::Impl::TooLate(const Slot& slot) const {
  std::string why = slot.yielding ? "it gives way to a model that was asked for before" : "it is still being loaded";
  if (slot.state == State::kUnloaded) {
    why = fmt::format("it takes {} of {}, and", BytesText(slot.model.bytes), BytesText(options_.memory));
    for (const auto& other : slots_) {
      if (other->n_uses == 0) continue;
      why += fmt::format(" {} ({}) is in use,", other->model.name, BytesText(other->model.bytes));
    }
    why.pop_back();
  }
  return Status(Code::kUnavailable,
                fmt::format("model {} did not become ready in time (limit load_timeout): {}", slot.model.name, why));
}

uint64_t ModelHost::Impl::BytesInUse() const {
  uint64_t bytes = 0;
  for (const auto& slot : slots_) {
    if (slot->state != State::kUnloaded || slot->leaving) bytes += slot->model.bytes;
  }
  return bytes;
}

Slot* ModelHost::Impl::LeastRecentlyUsed() const {
  Slot* oldest = nullptr;
  for (const auto& slot : slots_) {
    const bool idle = slot->state == State::kLoaded && slot->n_uses == 0 && !slot->leaving;
    if (idle && (oldest == nullptr || slot->last_used < oldest->last_used)) oldest = slot.get();
  }
  return oldest;
}

void ModelHost::Impl::MarkIdleToLeave(Clock::time_point now) {
  for (const auto& slot : slots_) {
    const bool idle = slot->state == State::kLoaded && slot->n_uses == 0;
    if (idle && now >= slot->unload_at) slot->leaving = true;
  }
}

std::shared_ptr<Slot> ModelHost::Impl::NextToLoad() const {
  std::shared_ptr<Slot> next;
  const Ticket* first = nullptr;
  for (const auto& slot : slots_) {
    if (slot->state != State::kUnloaded || slot->leaving) continue;
    const Ticket* const waits = FirstOf(*slot);
    if (waits == nullptr || (first != nullptr && !Before(*waits, *first))) continue;
    first = waits;
    next = slot;
  }
  return next;
}

// The model that was asked for first, when there is room for it; otherwise somebody has to leave for it.
void ModelHost::Impl::ScheduleNextLoad(Clock::time_point now) {
  if (next_load_) return;
  const bool some_leave = std::ranges::any_of(slots_, [](const auto& slot) { return slot->leaving; });
  const std::shared_ptr<Slot> first = NextToLoad();
  if (!first) return;
  if (BytesInUse() + first->model.bytes <= options_.memory) {
    first->state = State::kLoading;
    next_load_ = first;
  } else if (Slot* oldest = some_leave ? nullptr : LeastRecentlyUsed()) {
    oldest->leaving = true;
  } else if (!some_leave) {
    MakeOneYield(*FirstOf(*first), now);
  }
}

void ModelHost::Impl::MakeOneYield(const Ticket& to, Clock::time_point now) {
  if (to.background()) return;
  Slot* chosen = nullptr;
  for (const auto& slot : slots_) {
    if (slot->yielding) return;  // one at a time
    if (slot->state != State::kLoaded) continue;
    const bool only_background = slot->n_uses == slot->n_background_uses;
    if (!only_background && now < to.asked_at() + options_.fair_wait) continue;
    if (chosen == nullptr || slot->loaded_at < chosen->loaded_at) chosen = slot.get();
  }
  if (chosen == nullptr) return;
  chosen->yielding = true;
  chosen->backend->Hurry(true);
}

// Nobody needs the place of those that yield any more.
std::vector<ModelHost::Impl::Started> ModelHost::Impl::TakeThoseNotToYield() {
  std::vector<Started> all;
  const std::shared_ptr<Slot> next = NextToLoad();
  if (next && !FirstOf(*next)->background()) return all;
  for (const auto& slot : slots_) {
    if (!slot->yielding) continue;
    slot->yielding = false;
    if (slot->backend) slot->backend->Hurry(false);
    if (slot->state != State::kLoaded || slot->leaving) continue;
    for (Started& one : TakeWaiting(slot)) all.push_back(std::move(one));
  }
  return all;
}

Clock::time_point ModelHost::Impl::NextTime() const {
  auto next = Clock::now() + std::chrono::hours(1);
  for (const auto& slot : slots_) {
    for (const auto& ticket : slot->waiting) {
      next = std::min(next, ticket->until());
      const auto yield_at = ticket->asked_at() + options_.fair_wait;
      if (yield_at > Clock::now()) next = std::min(next, yield_at);
    }
    if (slot->state == State::kLoaded && slot->n_uses == 0 && !slot->leaving) next = std::min(next, slot->unload_at);
  }
  return next;
}

void ModelHost::Impl::Watch() {
  std::unique_lock lock(mutex_);
  while (true) {
    std::vector<Ended> ended = TakeOverdue(Clock::now());
    if (!ended.empty()) {
      lock.unlock();
      for (Ended& one : ended) one.ticket->End(one.reason, std::move(one.error));
      ended.clear();
      lock.lock();
      continue;
    }
    if (stopping_) return;
    MarkIdleToLeave(Clock::now());
    ScheduleNextLoad(Clock::now());
    std::vector<Started> started = TakeThoseNotToYield();
    if (!started.empty()) {
      lock.unlock();
      StartAll(std::move(started));
      lock.lock();
      continue;
    }
    changed_.notify_all();
    changed_.wait_until(lock, NextTime());
  }
}

void ModelHost::Impl::Work() {
  std::unique_lock lock(mutex_);
  const auto leaving = [this]() -> Slot* {
    const auto it = std::ranges::find_if(slots_, [](const auto& slot) { return slot->leaving && slot->backend; });
    return it == slots_.end() ? nullptr : it->get();
  };
  while (!stopping_) {
    if (Slot* slot = leaving()) {
      Unload(lock, *slot);
    } else if (next_load_) {
      const auto slot = std::exchange(next_load_, nullptr);
      Load(lock, slot);
    } else {
      changed_.wait(lock);
    }
  }
}

void ModelHost::Impl::Unload(std::unique_lock<std::mutex>& lock, Slot& slot) {
  slot.state = State::kUnloaded;
  slot.yielding = false;
  std::shared_ptr<Backend> backend = std::move(slot.backend);
  AddCounters(backend->stats(), slot.retired);
  lock.unlock();
  backend.reset();
  lock.lock();
  slot.leaving = false;
  changed_.notify_all();
}

void ModelHost::Impl::Load(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Slot>& slot) {
  lock.unlock();
  Result<std::shared_ptr<Backend>> loaded = Error(Code::kInternal, "not loaded");
  try {
    loaded = slot->model.load();
  } catch (const std::exception& e) {
    loaded = Error(Code::kInternal, e.what());
  }
  lock.lock();
  std::deque<std::shared_ptr<Ticket>> waiting;  // in vain
  std::vector<Started> started;
  slot->failure.reset();
  if (loaded) {
    slot->backend = std::move(*loaded);
    slot->state = State::kLoaded;
    if (slot->draining) slot->backend->Drain();
    started = TakeWaiting(slot);
    slot->loaded_at = slot->last_used = Clock::now();
    slot->unload_at = UnloadTime(slot->last_used, slot->model.keep_alive);
  } else {
    waiting.swap(slot->waiting);
    slot->state = State::kUnloaded;
    slot->failed_at = Clock::now();
    // The reason names files, which is for the operator.
    fmt::print(stderr, "quern: model {} could not be loaded: {}\n", slot->model.name, loaded.error().message());
    slot->failure = Status(Code::kUnavailable,
                           fmt::format("model {} could not be loaded; the server's log says why", slot->model.name));
  }
  const Status failure = slot->failure.value_or(Status(Code::kInternal, "no error"));
  lock.unlock();
  for (const auto& ticket : waiting) ticket->End(FinishReason::kError, failure);
  StartAll(std::move(started));
  waiting.clear();
  lock.lock();
  changed_.notify_all();
}

BackendStats ModelHost::Impl::StatsOf(const Slot& slot) const {
  std::lock_guard lock(mutex_);
  BackendStats stats = slot.backend ? slot.backend->stats() : BackendStats();
  AddCounters(slot.retired, stats);
  stats.n_waiting += static_cast<int>(slot.waiting.size());
  return stats;
}

Residency ModelHost::Impl::ResidencyOf(const Slot& slot) const {
  std::lock_guard lock(mutex_);
  Residency residency{.state = slot.state, .bytes = slot.model.bytes};
  const bool ends = slot.unload_at != Clock::time_point::max() && slot.state == State::kLoaded;
  if (ends && slot.n_uses == 0) {
    residency.unloaded_at = std::chrono::system_clock::now() +
                            std::chrono::duration_cast<std::chrono::milliseconds>(slot.unload_at - Clock::now());
  }
  return residency;
}

void ModelHost::Impl::Drain(Slot& slot) {
  std::lock_guard lock(mutex_);
  slot.draining = true;
  if (slot.backend) slot.backend->Drain();
}

namespace {

class OnDemandBackend final : public Backend {
 public:
  OnDemandBackend(std::shared_ptr<ModelHost> host, std::shared_ptr<ModelHost::Impl> impl, std::shared_ptr<Slot> slot)
      : host_(std::move(host)), impl_(std::move(impl)), slot_(std::move(slot)) {}

  const BackendInfo& info() const override { return slot_->model.info; }
  const EngineLimits& limits() const override { return slot_->model.limits; }
  Result<Generation> Submit(GenerateRequest request, EventSink sink) override {
    return impl_->Submit(slot_, std::move(request), std::move(sink));
  }
  BackendStats stats() const override { return impl_->StatsOf(*slot_); }
  Residency residency() const override { return impl_->ResidencyOf(*slot_); }
  void Drain() override { impl_->Drain(*slot_); }

 private:
  std::shared_ptr<ModelHost> host_;
  std::shared_ptr<ModelHost::Impl> impl_;
  std::shared_ptr<Slot> slot_;
};

}  // namespace

ModelHost::ModelHost(const Options& options) : impl_(std::make_shared<Impl>(options)) { impl_->Run(); }
ModelHost::~ModelHost() { impl_->Stop(); }

Result<std::shared_ptr<Backend>> ModelHost::Add(const std::shared_ptr<ModelHost>& host, OnDemandModel model) {
  QUERN_ASSIGN(auto slot, host->impl_->Add(std::move(model)));
  return std::shared_ptr<Backend>(std::make_shared<OnDemandBackend>(host, host->impl_, std::move(slot)));
}

}  // namespace quern::engine
