#include "engine/native_engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/thread_pool.h"
#include "engine/batch_runner.h"
#include "engine/event_stream.h"
#include "engine/request_check.h"
#include "engine/sequence.h"

namespace quern::engine {
namespace {

using Clock = std::chrono::steady_clock;

// Tokens that a running sequence may still grow by before another one is let in. Without this a newcomer would be put
// aside again a few steps later and its prompt be read twice.
constexpr int kHeadroomTokens = 4 * model::kKvPageTokens;

// Sequences that stand still are looked at this often, for their time limits.
constexpr std::chrono::seconds kLongestStandstill{1};

// What a cancelled or destroyed handle rings; it outlives the engine with the last handle.
struct Bell {
  std::mutex mutex;
  std::condition_variable rung;
  bool awake = false;

  void Ring() {
    {
      std::lock_guard lock(mutex);
      awake = true;
    }
    rung.notify_all();
  }
};

class NativeEngine final : public Backend {
 public:
  NativeEngine(NativeParts parts, const NativeOptions& options, BackendInfo info)
      : parts_(std::move(parts)),
        options_(options),
        info_(std::move(info)),
        pool_(options.n_threads > 0 ? options.n_threads : ThreadPool::AvailableThreads()),
        runner_(parts_, pool_, options_, info_.vocab_size),
        right_of_way_(options.right_of_way ? options.right_of_way : std::make_shared<RightOfWay>()),
        bell_(std::make_shared<Bell>()),
        when_free_(right_of_way_->WhenFree([bell = bell_] { bell->Ring(); })) {
    stats_.kv_bytes_total = parts_.pool->bytes_total();
    thread_ = std::thread([this] { Loop(); });
  }

  ~NativeEngine() override {
    {
      std::lock_guard lock(bell_->mutex);
      stopping_ = true;
    }
    bell_->rung.notify_all();
    thread_.join();
  }

  const BackendInfo& info() const override { return info_; }
  const EngineLimits& limits() const override { return options_.limits; }
  Residency residency() const override { return {.bytes = options_.resident_bytes}; }

  Result<Generation> Submit(GenerateRequest request, EventSink sink) override {
    QUERN_TRY(CheckRequest(request, info_, options_.limits));
    auto stream = std::make_shared<EventStream>(std::move(sink), [bell = bell_] { bell->Ring(); });
    const auto deadline = DeadlineOf(request, options_.limits);
    auto sequence = std::make_unique<Sequence>(0, std::move(request), info_.vocab_size);
    if (sequence->request.grammar) {
      QUERN_ASSIGN(sequence->constraint, sequence->request.grammar->Start());
    }
    sequence->stream = stream;
    sequence->deadline = deadline;
    sequence->n_max = MaxNewTokens(sequence->request, info_);
    if (!sequence->background()) sequence->claim.emplace(*right_of_way_);
    if (sequence->request.prompt_logprobs) {
      sequence->prompt_logprobs.chosen.push_back({sequence->request.prompt[0], 0.0F});
      sequence->prompt_logprobs.top.emplace_back();
    }
    {
      std::lock_guard lock(bell_->mutex);
      if (draining_ || stopping_) return Error(Code::kUnavailable, "the server is shutting down");
      const size_t room =
          static_cast<size_t>(options_.limits.max_running) + static_cast<size_t>(options_.limits.max_waiting);
      const bool background = sequence->background();
      if (CountBefore(background) >= room)
        return Error(Code::kExhausted, fmt::format("{} requests are running or waiting, which is the limit", room));
      sequence->id = n_submitted_++;
      waiting_.insert(background ? waiting_.end() : FirstBackground(waiting_), std::move(sequence));
      bell_->awake = true;
    }
    bell_->rung.notify_all();
    return Generation(std::move(stream));
  }

  BackendStats stats() const override {
    std::lock_guard lock(bell_->mutex);
    BackendStats stats = stats_;
    stats.n_waiting = static_cast<int>(waiting_.size());
    return stats;
  }

  void Hurry(bool hurry) override {
    hurried_ = hurry;
    bell_->Ring();
  }

  void Drain() override {
    std::lock_guard lock(bell_->mutex);
    draining_ = true;
  }

 private:
  using Sequences = std::vector<std::unique_ptr<Sequence>>;

  // ---- the engine thread ----

  void Loop() {
    std::unique_lock lock(bell_->mutex);
    while (!stopping_) {
      bell_->awake = false;
      Sequences over = TakeEnded();
      Admit();
      UpdateGauges();
      lock.unlock();
      for (const auto& sequence : over) EndEarly(*sequence);
      over.clear();
      const bool may_step = MayStep();
      if (may_step) StepOnce();
      lock.lock();
      UpdateGauges();
      if (running_.empty() ? !waiting_.empty() : may_step) continue;
      // A sequence of the queue always fits when nothing runs, so what is left to wait for is news.
      const auto news = [this] { return bell_->awake || stopping_; };
      if (running_.empty()) {
        bell_->rung.wait(lock, news);
      } else {
        bell_->rung.wait_for(lock, kLongestStandstill, news);
      }
    }
    Sequences rest = std::exchange(running_, {});
    for (auto& sequence : waiting_) rest.push_back(std::move(sequence));
    waiting_.clear();
    lock.unlock();
    for (const auto& sequence : rest) Finish(*sequence, FinishedOf(*sequence, FinishReason::kCancelled));
  }

  // Those in the background stand still while interactive ones are with another engine.
  bool MayStep() const {
    return !running_.empty() && (!running_.front()->background() || hurried_ || !right_of_way_->IsClaimed());
  }

  // Under the mutex: what was cancelled or is late, from the queue and from the running ones.
  Sequences TakeEnded() {
    Sequences over;
    const auto now = Clock::now();
    const auto take = [&](auto& from) {
      for (auto& sequence : from) {
        if (sequence->stream->cancelled() || sequence->deadline <= now) over.push_back(std::move(sequence));
      }
      std::erase(from, nullptr);
    };
    take(waiting_);
    take(running_);
    return over;
  }

  // Interactive sequences stand before background ones in the queue and among the running ones, each kind by age.
  template <typename Container>
  static typename Container::iterator FirstBackground(Container& sequences) {
    return std::find_if(sequences.begin(), sequences.end(),
                        [](const auto& sequence) { return sequence->background(); });
  }

  // Under the mutex: requests that count against the queue's limit for a new one.
  size_t CountBefore(bool background) {
    if (background) return waiting_.size() + static_cast<size_t>(stats_.n_running);
    return static_cast<size_t>(FirstBackground(waiting_) - waiting_.begin()) + n_running_interactive_;
  }

  // Under the mutex. In order of the queue, as long as there is room for the prompt beside what the others still need.
  void Admit() {
    while (!waiting_.empty()) {
      if (waiting_.front()->background() && !running_.empty() && !running_.front()->background()) break;
      while (!HasRoomForNext() && !waiting_.front()->background() && !running_.empty() && running_.back()->background())
        SetAside(running_.end() - 1);
      if (!HasRoomForNext()) break;
      std::unique_ptr<Sequence> next = std::move(waiting_.front());
      waiting_.pop_front();
      next->state = parts_.make_sequence(*parts_.pool);
      running_.insert(next->background() ? running_.end() : FirstBackground(running_), std::move(next));
    }
  }

  // Under the mutex. What background sequences may still need is promised to nobody when an interactive one is next.
  bool HasRoomForNext() const {
    const Sequence& next = *waiting_.front();
    if (running_.empty()) return true;
    if (static_cast<int>(running_.size()) >= options_.limits.max_running) return false;
    int promised = 0;
    for (const auto& sequence : running_) {
      if (sequence->background() && !next.background()) continue;
      promised += std::max(0, sequence->PagesFor(kHeadroomTokens) - sequence->PagesHeld());
    }
    return parts_.pool->n_free_pages() - promised >= next.PagesFor(kHeadroomTokens);
  }

  // Under the mutex. It waits at the head of those of its kind.
  void SetAside(Sequences::iterator lost) {
    std::unique_ptr<Sequence> sequence = std::move(*lost);
    running_.erase(lost);
    sequence->state.reset();
    waiting_.insert(sequence->background() ? FirstBackground(waiting_) : waiting_.begin(), std::move(sequence));
  }

  // Under the mutex.
  void UpdateGauges() {
    stats_.n_running = static_cast<int>(running_.size());
    n_running_interactive_ = static_cast<size_t>(FirstBackground(running_) - running_.begin());
    stats_.kv_bytes_used = parts_.pool->bytes_used();
  }

  void StepOnce() {
    const auto start = Clock::now();
    const StepResult result = runner_.Step(running_);
    const std::chrono::duration<double> took = Clock::now() - start;
    Count(result.counts, took.count());
    for (const Outcome& outcome : result.over) {
      const auto it = std::find_if(running_.begin(), running_.end(),
                                   [&](const auto& sequence) { return sequence.get() == outcome.sequence; });
      const std::unique_ptr<Sequence> over = std::move(*it);
      running_.erase(it);
      Finish(*over, outcome.finished);
    }
    if (!result.set_aside.empty()) PutBack(result.set_aside);
  }

  // Those that lost their pages wait at the head of the queue, the oldest of them first.
  void PutBack(const std::vector<Sequence*>& set_aside) {
    std::lock_guard lock(bell_->mutex);
    for (Sequence* lost : set_aside) {
      SetAside(std::find_if(running_.begin(), running_.end(), [&](const auto& s) { return s.get() == lost; }));
    }
  }

  void EndEarly(Sequence& sequence) {
    if (sequence.stream->cancelled()) {
      Finish(sequence, FinishedOf(sequence, FinishReason::kCancelled));
    } else {
      const std::string message =
          fmt::format("the time limit passed after {} of {} prompt tokens and {} generated ones",
                      sequence.n_prompt_done, sequence.n_prompt(), sequence.n_generated());
      Finish(sequence, FinishedOf(sequence, FinishReason::kError, Status(Code::kDeadline, message)));
    }
  }

  // sequence is out of running_. Frees and counts first: whoever has seen the event finds it in the figures.
  void Finish(Sequence& sequence, const FinishedEvent& event) {
    sequence.state.reset();
    sequence.claim.reset();
    {
      std::lock_guard lock(bell_->mutex);
      ++(event.reason == FinishReason::kCancelled ? stats_.n_cancelled
         : event.reason == FinishReason::kError   ? stats_.n_failed
                                                  : stats_.n_finished);
      UpdateGauges();
    }
    sequence.stream->Emit(event);
  }

  void Count(const StepCounts& counts, double seconds) {
    std::lock_guard lock(bell_->mutex);
    stats_.n_prompt_tokens += static_cast<uint64_t>(counts.n_prompt_tokens);
    stats_.n_generated_tokens += static_cast<uint64_t>(counts.n_sampled);
    const int n_rows = counts.n_prefill_rows + counts.n_decode_rows;
    if (n_rows == 0) return;
    const double prompt_share = static_cast<double>(counts.n_prefill_rows) / n_rows;
    stats_.prompt_seconds += seconds * prompt_share;
    stats_.generate_seconds += seconds * (1 - prompt_share);
  }

  NativeParts parts_;
  const NativeOptions options_;
  const BackendInfo info_;
  ThreadPool pool_;
  BatchRunner runner_;

  const std::shared_ptr<RightOfWay> right_of_way_;
  std::atomic<bool> hurried_{false};
  const std::shared_ptr<Bell> bell_;  // its mutex guards what follows
  const std::shared_ptr<void> when_free_;
  bool stopping_ = false;
  bool draining_ = false;
  uint64_t n_submitted_ = 0;
  size_t n_running_interactive_ = 0;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  BackendStats stats_;

  Sequences running_;  // engine thread only
  std::thread thread_;
};

Result<void> CheckOptions(const NativeParts& parts, const NativeOptions& options) {
  const auto bad = [](const char* name, int64_t value, const char* range) {
    return Error(Code::kInvalidArgument, fmt::format("{} is {}, must be {}", name, value, range));
  };
  const int n_rows = parts.model->config().vocab;
  if (options.n_threads < 0 || options.n_threads > 4096) return bad("threads", options.n_threads, "0 to 4096");
  if (options.context_length < 0) return bad("context", options.context_length, "0 or more");
  if (options.vocab_size < 0 || options.vocab_size > n_rows)
    return bad("vocab_size", options.vocab_size, fmt::format("0 to {}, the rows of the embedding", n_rows).c_str());
  if (options.prefill_tokens < 1) return bad("prefill_tokens", options.prefill_tokens, "1 or more");
  if (options.score_tokens < 1) return bad("score_tokens", options.score_tokens, "1 or more");
  if (options.limits.max_running < 1) return bad("max_running", options.limits.max_running, "1 or more");
  if (options.limits.max_waiting < 0) return bad("max_waiting", options.limits.max_waiting, "0 or more");
  if (parts.pool->n_pages() < 1) return bad("pages for keys and values", parts.pool->n_pages(), "1 or more");
  return {};
}

}  // namespace

Result<std::unique_ptr<Backend>> CreateNativeEngine(NativeParts parts, const NativeOptions& options) {
  QUERN_TRY(CheckOptions(parts, options));
  const model::ModelConfig& config = parts.model->config();
  BackendInfo info;
  info.architecture = std::string(model::ArchitectureName(config.architecture));
  info.vocab_size = options.vocab_size > 0 ? options.vocab_size : config.vocab;
  const int64_t capacity = int64_t{parts.pool->n_pages()} * model::kKvPageTokens;
  info.context_length = static_cast<int>(std::min<int64_t>(config.context_length, capacity));
  if (options.context_length > 0) info.context_length = std::min(info.context_length, options.context_length);
  info.eos_tokens = options.eos_tokens;
  info.defaults = options.defaults;
  return std::make_unique<NativeEngine>(std::move(parts), options, std::move(info));
}

}  // namespace quern::engine
