#include "engine/scripted_backend.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "engine/event_stream.h"
#include "engine/request_check.h"
#include "engine/script.h"
#include "engine/token_mask.h"

namespace quern::engine {
namespace {

using Clock = std::chrono::steady_clock;

// Made-up but repeatable: between -0.001 and about -2, a function of the place and the token only.
float SyntheticLogprob(int position, TokenId token) {
  uint32_t x = static_cast<uint32_t>(position) * 2654435761U ^ static_cast<uint32_t>(token) * 40503U;
  x ^= x >> 15;
  return -0.001F - static_cast<float>(x % 2000U) / 1000.0F;
}

// The chosen token comes first; the others follow it by id, each a little less likely.
std::vector<TokenLogprob> SyntheticTop(int position, TokenId token, int n, int vocab_size) {
  std::vector<TokenLogprob> top;
  top.reserve(static_cast<size_t>(std::max(0, std::min(n, vocab_size))));
  const float best = SyntheticLogprob(position, token);
  for (int i = 0; i < std::min(n, vocab_size); ++i)
    top.push_back({(token + i) % vocab_size, best - 0.5F * static_cast<float>(i)});
  return top;
}

bool Contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// One request under way. States: waiting -> reading (chunks_done < prompt_chunks) -> sending -> over; a hang stays in
// the state it is in until it is cancelled or late.
struct Sequence {
  GenerateRequest request;
  const ScriptRule* rule;
  std::shared_ptr<EventStream> stream;
  std::unique_ptr<grammar::TokenConstraint> constraint;  // null without a grammar
  Clock::time_point deadline;
  Clock::time_point next;  // when the next step is due
  int n_max = 0;
  int chunks_done = 0;
  bool prompt_done = false;
  bool hangs = false;
  int n_generated = 0;
  size_t at = 0;  // next token of the rule

  bool background() const { return request.priority == Priority::kBackground; }
};

}  // namespace

class ScriptedBackend::Impl : public std::enable_shared_from_this<ScriptedBackend::Impl> {
 public:
  Impl(Script script, std::shared_ptr<const tokenizer::Tokenizer> tokenizer, const EngineLimits& limits)
      : script_(std::move(script)), tokenizer_(std::move(tokenizer)), limits_(limits), uses_(script_.rules.size(), 0) {
    info_.architecture = script_.architecture;
    info_.vocab_size = tokenizer_->vocab_size();
    info_.context_length = script_.context_length;
    info_.eos_tokens = script_.eos_tokens;
    info_.defaults = script_.defaults;
  }

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  Result<Generation> Submit(GenerateRequest request, EventSink sink) {
    QUERN_TRY(CheckRequest(request, info_, limits_));
    const std::string text = tokenizer_->DecodeBytes(request.prompt, false);
    auto sequence = std::make_unique<Sequence>();
    if (request.grammar) {
      QUERN_ASSIGN(sequence->constraint, request.grammar->Start());
    }
    std::shared_ptr<EventStream> stream;
    {
      std::lock_guard lock(mutex_);
      if (draining_ || stopping_) return Error(Code::kUnavailable, "the server is shutting down");
      const size_t room = static_cast<size_t>(limits_.max_running) + static_cast<size_t>(limits_.max_waiting);
      const bool background = request.priority == Priority::kBackground;
      if (CountBefore(background) >= room)
        return Error(Code::kExhausted, fmt::format("{} requests are running or waiting, the limit is {}", room, room));
      QUERN_ASSIGN(sequence->rule, ChooseRule(text));
      stream = std::make_shared<EventStream>(std::move(sink), [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->Wake();
      });
      sequence->stream = stream;
      sequence->deadline = DeadlineOf(request, limits_);
      sequence->n_max = MaxNewTokens(request, info_);
      sequence->request = std::move(request);
      waiting_.insert(background ? waiting_.end() : FirstBackground(waiting_), std::move(sequence));
      awake_ = true;
    }
    changed_.notify_all();
    return Generation(std::move(stream));
  }

  BackendStats stats() const {
    std::lock_guard lock(mutex_);
    BackendStats stats = stats_;
    stats.n_running = n_running_;
    stats.n_waiting = static_cast<int>(waiting_.size());
    return stats;
  }

  void Drain() {
    std::lock_guard lock(mutex_);
    draining_ = true;
  }

  const BackendInfo& info() const { return info_; }
  const EngineLimits& limits() const { return limits_; }

 private:
  void Wake() {
    {
      std::lock_guard lock(mutex_);
      awake_ = true;
    }
    changed_.notify_all();
  }

  // Under mutex_.
  Result<const ScriptRule*> ChooseRule(const std::string& text) {
    std::vector<size_t> fitting;
    for (size_t i = 0; i < script_.rules.size(); ++i) {
      const ScriptRule& rule = script_.rules[i];
      const bool spent = rule.times >= 0 && uses_[i] >= rule.times;
      const bool fits = std::all_of(rule.match.begin(), rule.match.end(),
                                    [&](const std::string& part) { return text.find(part) != std::string::npos; });
      if (!spent && fits) fitting.push_back(i);
    }
    if (fitting.empty()) return Error(Code::kNotFound, "no rule of the script matches this prompt");
    const size_t chosen = script_.round_robin ? fitting[n_submitted_ % fitting.size()] : fitting.front();
    const ScriptRule& rule = script_.rules[chosen];
    ++n_submitted_;
    ++uses_[chosen];
    if (rule.fault && rule.fault->kind == FaultKind::kRefuse) return Error(rule.fault->code, rule.fault->message);
    return &rule;
  }

  // ---- the backend's thread ----

  void Run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      awake_ = false;
      Admit();
      std::vector<std::unique_ptr<Sequence>> over = TakeEndedWaiting();
      lock.unlock();
      for (auto& sequence : over) EndEarly(*sequence);
      const bool any_ended = StepAll();
      lock.lock();
      UpdateGauges();
      if (any_ended || awake_ || stopping_) continue;
      changed_.wait_until(lock, NextTime(), [this] { return awake_ || stopping_; });
    }
    lock.unlock();
    for (auto& sequence : running_) Finish(*sequence, FinishReason::kCancelled);
    for (auto& sequence : waiting_) Finish(*sequence, FinishReason::kCancelled);
  }

  // Interactive sequences stand before background ones in the queue and among the running ones, each kind by age.
  template <typename Container>
  static typename Container::iterator FirstBackground(Container& sequences) {
    return std::find_if(sequences.begin(), sequences.end(),
                        [](const auto& sequence) { return sequence->background(); });
  }

  // Under mutex_. A background sequence makes room for an interactive one and goes on later where it was.
  void Admit() {
    while (!waiting_.empty()) {
      const bool background = waiting_.front()->background();
      if (background && !running_.empty() && !running_.front()->background()) break;
      if (static_cast<int>(running_.size()) >= limits_.max_running) {
        if (background || !running_.back()->background()) break;
        waiting_.insert(FirstBackground(waiting_), std::move(running_.back()));
        running_.pop_back();
      }
      std::unique_ptr<Sequence> next = std::move(waiting_.front());
      waiting_.pop_front();
      next->next = Clock::now() + next->rule->first_delay / next->rule->prompt_chunks;
      running_.insert(background ? running_.end() : FirstBackground(running_), std::move(next));
    }
    UpdateGauges();
  }

  // Under mutex_.
  void UpdateGauges() {
    n_running_ = static_cast<int>(running_.size());
    n_running_interactive_ = static_cast<int>(FirstBackground(running_) - running_.begin());
  }

  // Under mutex_: requests that count against the queue's limit for a new one.
  size_t CountBefore(bool background) {
    if (background) return waiting_.size() + static_cast<size_t>(n_running_);
    return static_cast<size_t>(FirstBackground(waiting_) - waiting_.begin()) +
           static_cast<size_t>(n_running_interactive_);
  }

  // It stands still while an interactive one runs.
  bool IsPaused(const Sequence& sequence) const { return sequence.background() && !running_.front()->background(); }

  // Under mutex_: those in the queue that were cancelled or are late.
  std::vector<std::unique_ptr<Sequence>> TakeEndedWaiting() {
    std::vector<std::unique_ptr<Sequence>> over;
    const auto now = Clock::now();
    for (auto& sequence : waiting_) {
      if (sequence->stream->cancelled() || sequence->deadline <= now) over.push_back(std::move(sequence));
    }
    std::erase(waiting_, nullptr);
    return over;
  }

  // Under mutex_.
  Clock::time_point NextTime() const {
    auto next = Clock::now() + std::chrono::hours(1);
    for (const auto& sequence : running_) {
      next = std::min(next, sequence->deadline);
      if (!sequence->hangs && !IsPaused(*sequence)) next = std::min(next, sequence->next);
    }
    for (const auto& sequence : waiting_) next = std::min(next, sequence->deadline);
    return next;
  }

  bool StepAll() {
    bool any_ended = false;
    const bool only_background = !running_.empty() && running_.front()->background();
    for (auto& sequence : running_) {
      if (!Step(*sequence, sequence->background() && !only_background)) continue;
      sequence.reset();
      any_ended = true;
    }
    std::erase(running_, nullptr);
    return any_ended;
  }

  // Takes at most one step, none when it is paused; true when the sequence is over.
  bool Step(Sequence& sequence, bool paused) {
    const auto now = Clock::now();
    if (sequence.stream->cancelled() || sequence.deadline <= now) {
      EndEarly(sequence);
      return true;
    }
    if (paused || sequence.hangs || sequence.next > now) return false;
    return sequence.prompt_done ? SendToken(sequence) : ReadPrompt(sequence);
  }

  void EndEarly(Sequence& sequence) {
    if (sequence.stream->cancelled()) {
      Finish(sequence, FinishReason::kCancelled);
    } else {
      const std::string message = fmt::format("the time limit passed after {} generated tokens", sequence.n_generated);
      Finish(sequence, FinishReason::kError, Status(Code::kDeadline, message));
    }
  }

  bool ReadPrompt(Sequence& sequence) {
    const ScriptRule& rule = *sequence.rule;
    const int n_prompt = static_cast<int>(sequence.request.prompt.size());
    ++sequence.chunks_done;
    const int64_t done = static_cast<int64_t>(n_prompt) * sequence.chunks_done / rule.prompt_chunks;
    sequence.stream->Emit(PromptProgressEvent{static_cast<int>(done), n_prompt});
    if (sequence.chunks_done < rule.prompt_chunks) {
      sequence.next += rule.first_delay / rule.prompt_chunks;
      return false;
    }
    sequence.prompt_done = true;
    {
      std::lock_guard lock(mutex_);
      stats_.n_prompt_tokens += static_cast<uint64_t>(n_prompt);
    }
    if (sequence.request.prompt_logprobs) SendPromptLogprobs(sequence);
    if (sequence.n_max > 0) return SendToken(sequence);
    Finish(sequence, FinishReason::kLength);
    return true;
  }

  void SendPromptLogprobs(const Sequence& sequence) {
    PromptLogprobsEvent event;
    for (size_t i = 0; i < sequence.request.prompt.size(); ++i) {
      const TokenId token = sequence.request.prompt[i];
      const int position = static_cast<int>(i);
      event.chosen.push_back({token, i == 0 ? 0.0F : SyntheticLogprob(position, token)});
      event.top.push_back(i == 0 ? std::vector<TokenLogprob>()
                                 : SyntheticTop(position, token, sequence.request.n_logprobs, info_.vocab_size));
    }
    sequence.stream->Emit(event);
  }

  bool SendToken(Sequence& sequence) {
    const ScriptRule& rule = *sequence.rule;
    if (rule.fault && sequence.n_generated >= rule.fault->at) return Fail(sequence, *rule.fault);
    const Result<TokenId> next = sequence.constraint ? NextConstrained(sequence) : NextToken(sequence);
    if (!next) {
      Finish(sequence, FinishReason::kError, next.error());
      return true;
    }
    const TokenId token = *next;
    TokenEvent event{token, ++sequence.n_generated, 0.0F, {}};
    if (sequence.request.n_logprobs >= 0) {
      const int position = static_cast<int>(sequence.request.prompt.size()) + sequence.n_generated - 1;
      event.logprob = SyntheticLogprob(position, token);
      event.top = SyntheticTop(position, token, sequence.request.n_logprobs, info_.vocab_size);
    }
    {
      std::lock_guard lock(mutex_);
      ++stats_.n_generated_tokens;
    }
    sequence.stream->Emit(event);
    sequence.next = Clock::now() + rule.delay;
    if (Contains(sequence.request.stop_tokens, token)) {
      Finish(sequence, FinishReason::kStopToken);
    } else if (sequence.n_generated >= sequence.n_max) {
      Finish(sequence, FinishReason::kLength);
    } else {
      return false;
    }
    return true;
  }

  bool Fail(Sequence& sequence, const ScriptFault& fault) {
    if (fault.kind == FaultKind::kHang) {
      sequence.hangs = true;
      return false;
    }
    Finish(sequence, FinishReason::kError, Status(fault.code, fault.message));
    return true;
  }

  // What comes next: the script's tokens, then a stop token if the request knows one, else the tokens again. Stop
  // tokens are passed over while the request bans them.
  Result<TokenId> NextToken(Sequence& sequence) const {
    const GenerateRequest& request = sequence.request;
    const ScriptRule& rule = *sequence.rule;
    const bool may_stop = sequence.n_generated >= request.min_tokens;
    // Twice round passes over any run of banned tokens and still meets every allowed one.
    for (size_t tries = 0; tries <= 2 * rule.tokens.size() + 1; ++tries) {
      if (sequence.at == rule.tokens.size()) {
        sequence.at = 0;
        if (!rule.endless && may_stop && !request.stop_tokens.empty()) return StopTokenFor(request);
        continue;
      }
      const TokenId token = rule.tokens[sequence.at++];
      if (may_stop || !Contains(request.stop_tokens, token)) return token;
    }
    return NothingLeft();
  }

  static std::unexpected<Status> NothingLeft() {
    return Error(Code::kInternal, "the script has nothing to send that the request allows here");
  }

  // The same under a grammar: what it does not allow is passed over too, once through the tokens and no further.
  Result<TokenId> NextConstrained(Sequence& sequence) const {
    const GenerateRequest& request = sequence.request;
    const ScriptRule& rule = *sequence.rule;
    std::vector<uint32_t> mask((static_cast<size_t>(info_.vocab_size) + 31) / 32);
    QUERN_ASSIGN(const bool is_complete, AllowedTokens(*sequence.constraint, request.stop_tokens, mask));
    const bool may_stop = is_complete || sequence.n_generated >= request.min_tokens;
    if (rule.endless && sequence.at == rule.tokens.size()) sequence.at = 0;
    while (!is_complete && sequence.at < rule.tokens.size()) {
      const TokenId token = rule.tokens[sequence.at++];
      if (!IsAllowed(mask, token)) continue;
      const bool is_stop = Contains(request.stop_tokens, token);
      if (is_stop && !may_stop) continue;
      if (!is_stop) QUERN_TRY(sequence.constraint->Accept(token));
      return token;
    }
    const TokenId stop = StopTokenFor(request);
    return may_stop && IsAllowed(mask, stop) ? Result<TokenId>(stop) : NothingLeft();
  }

  TokenId StopTokenFor(const GenerateRequest& request) const {
    for (const TokenId id : info_.eos_tokens) {
      if (Contains(request.stop_tokens, id)) return id;
    }
    return request.stop_tokens.front();
  }

  void Finish(Sequence& sequence, FinishReason reason, Status error = Status(Code::kInternal, "no error")) {
    {
      std::lock_guard lock(mutex_);
      ++(reason == FinishReason::kCancelled ? stats_.n_cancelled
         : reason == FinishReason::kError   ? stats_.n_failed
                                            : stats_.n_finished);
    }
    const int n_prompt = static_cast<int>(sequence.request.prompt.size());
    sequence.stream->Emit(FinishedEvent{reason, n_prompt, std::min(sequence.rule->n_cached, n_prompt),
                                        sequence.n_generated, std::move(error)});
  }

  const Script script_;
  const std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  const EngineLimits limits_;
  BackendInfo info_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool awake_ = false;
  bool stopping_ = false;
  bool draining_ = false;
  int n_running_ = 0;
  int n_running_interactive_ = 0;
  size_t n_submitted_ = 0;
  std::vector<int> uses_;  // per rule
  std::deque<std::unique_ptr<Sequence>> waiting_;
  BackendStats stats_;

  std::vector<std::unique_ptr<Sequence>> running_;  // the backend's thread only
  std::thread thread_;
};

Result<std::unique_ptr<ScriptedBackend>> ScriptedBackend::Create(std::string_view script,
                                                                 std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                                                 const EngineLimits& limits) {
  QUERN_ASSIGN(Script parsed, ParseScript(script, *tokenizer));
  auto impl = std::make_shared<Impl>(std::move(parsed), std::move(tokenizer), limits);
  impl->Start();
  return std::unique_ptr<ScriptedBackend>(new ScriptedBackend(std::move(impl)));
}

ScriptedBackend::ScriptedBackend(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ScriptedBackend::~ScriptedBackend() { impl_->Stop(); }
const BackendInfo& ScriptedBackend::info() const { return impl_->info(); }
const EngineLimits& ScriptedBackend::limits() const { return impl_->limits(); }
Result<Generation> ScriptedBackend::Submit(GenerateRequest request, EventSink sink) {
  return impl_->Submit(std::move(request), std::move(sink));
}
BackendStats ScriptedBackend::stats() const { return impl_->stats(); }
void ScriptedBackend::Drain() { impl_->Drain(); }

}  // namespace quern::engine
