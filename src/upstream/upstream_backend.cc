#include "upstream/upstream_backend.h"

#include <fmt/core.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "engine/event_stream.h"
#include "engine/request_check.h"
#include "upstream/chooser.h"
#include "upstream/endpoint.h"
#include "upstream/request_json.h"

namespace quern::upstream {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using boost::system::error_code;
using engine::FinishedEvent;
using engine::FinishReason;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

Result<void> CheckOptions(const UpstreamOptions& options) {
  const auto bad = [&](std::string_view what) {
    return Error(Code::kInvalidArgument, fmt::format("model {}: {}", options.name, what));
  };
  if (options.endpoints.empty() || options.endpoints.size() > kMaxEndpoints) {
    return bad(fmt::format("must have 1 to {} upstreams", kMaxEndpoints));
  }
  if (options.context_length < 2) return bad("needs the context of the model at the upstream, in tokens");
  if (options.background_below < 1) return bad("background_below must be 1 or more");
  if (options.max_attempts < 1 || options.max_failures < 1) return bad("attempts and failures must be 1 or more");
  for (const EndpointOptions& endpoint : options.endpoints) {
    if (endpoint.weight < 1 || endpoint.weight > 1000) return bad("a weight must be from 1 to 1000");
    // A line end would let a key write headers of its own.
    const bool plain = std::ranges::all_of(endpoint.api_key, [](char c) { return c > 0x20 && c < 0x7f; });
    if (!plain) return bad("an upstream's API key has blanks or characters beyond ASCII");
    if (endpoint.model.empty()) return bad("an upstream needs the model's name there");
  }
  return {};
}

}  // namespace

class UpstreamBackend::Impl : public std::enable_shared_from_this<UpstreamBackend::Impl> {
 public:
  Impl(UpstreamOptions options, std::shared_ptr<const tokenizer::Tokenizer> tokenizer)
      : options_(std::move(options)), tokenizer_(std::move(tokenizer)), text_tokens_(tokenizer_) {
    info_.architecture = "upstream";
    info_.vocab_size = tokenizer_->vocab_size();
    info_.context_length = options_.context_length;
    info_.eos_tokens = options_.eos_tokens;
    info_.defaults = options_.defaults;
  }

  Result<void> Start() {
    for (const EndpointOptions& endpoint : options_.endpoints) {
      QUERN_ASSIGN(auto made, Endpoint::Create(io_.get_executor(), endpoint, options_, *tokenizer_, text_tokens_));
      endpoints_.push_back(std::move(made));
      snapshot_.push_back({.name = endpoint.url.Text()});
    }
    if (options_.times.probe_interval.count() > 0) {
      for (const auto& endpoint : endpoints_) {
        asio::co_spawn(
            io_, [this, e = endpoint.get()] { return ProbeLoop(*e); }, asio::detached);
      }
    }
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "quern-upstream");
      io_.run();
    });
    return {};
  }

  void Stop() {
    asio::post(io_, [this] {
      stopping_ = true;
      for (const auto& call : calls_) Interrupt(*call);
    });
    {
      std::unique_lock lock(mutex_);
      draining_ = true;
      idle_.wait(lock, [this] { return n_calls_ == 0; });
    }
    io_.stop();
    if (thread_.joinable()) thread_.join();
    for (const auto& endpoint : endpoints_) endpoint->ClosePool();
  }

  Result<engine::Generation> Submit(engine::GenerateRequest request, engine::EventSink sink);

  engine::BackendStats stats() const {
    std::lock_guard lock(mutex_);
    engine::BackendStats stats = stats_;
    stats.n_running = n_calls_;
    stats.endpoints = snapshot_;
    return stats;
  }

  void Drain() {
    std::lock_guard lock(mutex_);
    draining_ = true;
  }

  const engine::BackendInfo& info() const { return info_; }
  const engine::EngineLimits& limits() const { return options_.limits; }

 private:
  // One request from Submit to its last event. Shared by the coroutine that runs it and by what wakes it.
  struct Call {
    explicit Call(asio::io_context& io) : timer(io) {}
    Ask ask;
    std::vector<uint64_t> keys;
    std::shared_ptr<engine::EventStream> stream;
    asio::steady_timer timer;  // between two attempts, and while it gives way
    bool background = false;
    bool gives_way = false;
  };
  using CallPtr = std::shared_ptr<Call>;

  // ---- the backend's thread ----

  static void Interrupt(Call& call) {
    if (call.ask.connection != nullptr) call.ask.connection->Cancel();
    call.timer.cancel();
  }

  bool Unwanted(const Call& call) const { return stopping_ || call.stream->cancelled(); }

  awaitable<void> Run(CallPtr call);
  awaitable<void> GiveWay(Call& call);
  awaitable<Outcome> Answer(Call& call);
  std::optional<size_t> Choose(const Call& call, uint64_t tried);
  std::optional<Milliseconds> WaitFor(const Call& call, int n_attempts, Clock::time_point now);
  void Settle(Endpoint& endpoint, const Outcome& outcome, int n_attempts);
  Milliseconds Backoff(int n_attempts);
  Status NoneReachable() const;
  void End(const CallPtr& call, const Outcome& outcome);

  awaitable<void> ProbeLoop(Endpoint& endpoint);
  // Copies what others may see, and says so where an endpoint went down or came back.
  void Publish();

  const UpstreamOptions options_;
  const std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  const TextTokens text_tokens_;
  engine::BackendInfo info_;

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  Chooser chooser_;
  std::set<CallPtr> calls_;
  int n_interactive_ = 0;  // of calls_
  std::minstd_rand random_{std::random_device()()};
  bool stopping_ = false;
  std::thread thread_;

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  bool draining_ = false;                        // guarded by mutex_
  int n_calls_ = 0;                              // guarded by mutex_
  int n_background_ = 0;                         // of these; guarded by mutex_
  engine::BackendStats stats_;                   // guarded by mutex_
  std::vector<engine::EndpointStats> snapshot_;  // guarded by mutex_
};

Result<engine::Generation> UpstreamBackend::Impl::Submit(engine::GenerateRequest request, engine::EventSink sink) {
  QUERN_TRY(CheckRequest(request, info_, options_.limits));
  auto call = std::make_shared<Call>(io_);
  Ask& ask = call->ask;
  ask.wanted = {.n_prompt = static_cast<int>(request.prompt.size()),
                .n_max = MaxNewTokens(request, info_),
                .n_logprobs = request.n_logprobs,
                .stop_tokens = request.stop_tokens};
  QUERN_ASSIGN(ask.body, RequestJson(request, ask.wanted.n_max, options_.exchange, options_.formats, *tokenizer_));
  if (request.grammar) {
    QUERN_ASSIGN(ask.format, FormatCheck::Create(*request.grammar, request.stop_tokens, *tokenizer_, text_tokens_));
  }
  if (endpoints_.size() > 1) call->keys = PrefixKeys(request.prompt);
  ask.deadline = DeadlineOf(request, options_.limits);
  const bool background = request.priority == engine::Priority::kBackground;
  {
    std::lock_guard lock(mutex_);
    if (draining_) return Error(Code::kUnavailable, "the server is shutting down");
    const int room = options_.limits.max_running + options_.limits.max_waiting;
    // Those in the background never make an interactive one be refused.
    if ((background ? n_calls_ : n_calls_ - n_background_) >= room) {
      return Error(Code::kExhausted, fmt::format("{} requests are at the upstream, the limit is {}", n_calls_, room));
    }
    ++n_calls_;
    n_background_ += background ? 1 : 0;
  }
  call->background = background;
  call->stream = std::make_shared<engine::EventStream>(
      std::move(sink), [weak_self = weak_from_this(), weak_call = std::weak_ptr<Call>(call)] {
        const auto self = weak_self.lock();
        if (!self) return;
        asio::post(self->io_, [weak_call] {
          if (const auto woken = weak_call.lock()) Interrupt(*woken);
        });
      });
  ask.emit = [stream = call->stream](const engine::Event& event) { stream->Emit(event); };
  engine::Generation generation(call->stream);
  asio::co_spawn(
      io_, [this, call] { return Run(call); }, asio::detached);
  return generation;
}

awaitable<void> UpstreamBackend::Impl::Run(CallPtr call) {
  calls_.insert(call);
  n_interactive_ += call->background ? 0 : 1;
  Outcome outcome{.kind = Outcome::Kind::kFailed};
  try {
    co_await GiveWay(*call);
    outcome = co_await Answer(*call);
  } catch (const std::exception& e) {
    outcome.status = Status(Code::kInternal, fmt::format("while asking the upstream: {}", e.what()));
  }
  calls_.erase(call);
  n_interactive_ -= call->background ? 0 : 1;
  for (const auto& other : calls_) {
    if (other->gives_way) other->timer.cancel();
  }
  End(call, outcome);
}

// A background call waits here while interactive ones are under way.
awaitable<void> UpstreamBackend::Impl::GiveWay(Call& call) {
  call.gives_way = call.background;
  while (call.gives_way && n_interactive_ >= options_.background_below && !Unwanted(call) &&
         Clock::now() < call.ask.deadline) {
    error_code ignored;
    call.timer.expires_at(call.ask.deadline);
    co_await call.timer.async_wait(redirect_error(use_awaitable, ignored));
  }
  call.gives_way = false;
}

awaitable<Outcome> UpstreamBackend::Impl::Answer(Call& call) {
  if (call.ask.wanted.n_max == 0) {
    FinishedEvent nothing{.reason = FinishReason::kLength, .n_prompt = call.ask.wanted.n_prompt};
    co_return Outcome{.kind = Outcome::Kind::kFinished, .finished = std::move(nothing)};
  }
  Outcome last{.kind = Outcome::Kind::kFailed, .status = NoneReachable()};
  uint64_t tried = 0;
  for (int n_attempts = 0; n_attempts < options_.max_attempts && !Unwanted(call);) {
    if (Clock::now() >= call.ask.deadline) {
      co_return Outcome{.kind = Outcome::Kind::kFailed, .status = Status(Code::kDeadline, "the time limit passed")};
    }
    const std::optional<size_t> chosen = Choose(call, tried);
    if (!chosen) {
      const auto wait = WaitFor(call, n_attempts, Clock::now());
      if (!wait) break;
      // Waiting is an attempt too, so that a request cannot wait for ever.
      if (tried == 0) ++n_attempts;
      tried = 0;
      error_code ignored;
      call.timer.expires_after(*wait);
      co_await call.timer.async_wait(redirect_error(use_awaitable, ignored));
      continue;
    }
    tried |= uint64_t{1} << *chosen;
    ++n_attempts;
    Endpoint& endpoint = *endpoints_[*chosen];
    ++endpoint.n_requests;
    ++endpoint.n_running;
    last = co_await endpoint.Attempt(call.ask);
    --endpoint.n_running;
    if (!Unwanted(call)) Settle(endpoint, last, n_attempts);
    if (last.kind != Outcome::Kind::kTryAgain) break;
  }
  co_return last;
}

std::optional<size_t> UpstreamBackend::Impl::Choose(const Call& call, uint64_t tried) {
  const auto now = Clock::now();
  std::vector<Candidate> candidates(endpoints_.size());
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    Endpoint& endpoint = *endpoints_[i];
    candidates[i].usable = (tried >> i & 1) == 0 && endpoint.health().MayAsk(now, endpoint.n_running);
    candidates[i].n_running = endpoint.n_running;
    candidates[i].weight = endpoint.options().weight;
  }
  return chooser_.Pick(call.keys, candidates);
}

// How long to wait before any endpoint may be asked again; none when that is too long.
std::optional<Milliseconds> UpstreamBackend::Impl::WaitFor(const Call& call, int n_attempts, Clock::time_point now) {
  auto soonest = Clock::time_point::max();
  for (const auto& endpoint : endpoints_) {
    if (endpoint->health().state() == Health::State::kDown) continue;
    soonest = std::min(soonest, endpoint->health().MayAskAt(now));
  }
  if (soonest == Clock::time_point::max()) return std::nullopt;
  const auto needed = std::chrono::ceil<Milliseconds>(soonest - now);
  const Milliseconds wait = std::max(needed, Backoff(n_attempts));
  if (needed > options_.times.max_backoff || now + wait >= call.ask.deadline) return std::nullopt;
  return wait;
}

Milliseconds UpstreamBackend::Impl::Backoff(int n_attempts) {
  const Milliseconds doubled = options_.times.backoff * (1 << std::clamp(n_attempts - 1, 0, 16));
  // Requests that failed together do not come back together.
  std::uniform_real_distribution<double> jitter(0.75, 1.25);
  const auto spread = std::chrono::duration_cast<Milliseconds>(doubled * jitter(random_));
  return std::clamp(spread, Milliseconds(1), options_.times.max_backoff);
}

void UpstreamBackend::Impl::Settle(Endpoint& endpoint, const Outcome& outcome, int n_attempts) {
  const auto now = Clock::now();
  const bool answered = outcome.status.code() == Code::kInvalidArgument;  // it lives, and the request was wrong
  if (outcome.kind == Outcome::Kind::kFinished || answered) {
    endpoint.health().OnSuccess();
  } else {
    ++endpoint.n_failures;
    if (outcome.endpoint_at_fault) endpoint.health().OnFailure(now, outcome.status.message());
    const bool busy = outcome.status.code() == Code::kExhausted;
    if (outcome.retry_after_s > 0) {
      endpoint.health().HoldUntil(now + std::chrono::seconds(outcome.retry_after_s));
    } else if (busy) {
      endpoint.health().HoldUntil(now + Backoff(n_attempts));
    }
  }
  Publish();
}

Status UpstreamBackend::Impl::NoneReachable() const {
  std::string last = "not yet asked";
  for (const auto& endpoint : endpoints_) {
    if (!endpoint->health().last_failure().empty()) last = endpoint->health().last_failure();
  }
  return Status(Code::kUnavailable, fmt::format("none of the {} upstreams of model {} can be asked now; last: {}",
                                                endpoints_.size(), options_.name, last));
}

void UpstreamBackend::Impl::End(const CallPtr& call, const Outcome& outcome) {
  FinishedEvent finished = outcome.finished;
  if (outcome.kind != Outcome::Kind::kFinished) {
    finished.reason = Unwanted(*call) ? FinishReason::kCancelled : FinishReason::kError;
    finished.n_prompt = call->ask.wanted.n_prompt;
    finished.n_generated = call->ask.n_emitted;
    finished.error = outcome.status;
  }
  {
    std::lock_guard lock(mutex_);
    ++(finished.reason == FinishReason::kCancelled ? stats_.n_cancelled
       : finished.reason == FinishReason::kError   ? stats_.n_failed
                                                   : stats_.n_finished);
    stats_.n_generated_tokens += static_cast<uint64_t>(finished.n_generated);
    if (finished.n_generated > 0) stats_.n_prompt_tokens += static_cast<uint64_t>(finished.n_prompt);
  }
  call->stream->Emit(finished);
  // Last: Stop may destroy everything from here on.
  std::lock_guard lock(mutex_);
  --n_calls_;
  n_background_ -= call->background ? 1 : 0;
  idle_.notify_all();
}

awaitable<void> UpstreamBackend::Impl::ProbeLoop(Endpoint& endpoint) {
  asio::steady_timer timer(io_);
  while (!stopping_) {
    Result<void> alive = Error(Code::kInternal, "not asked");
    try {
      alive = co_await endpoint.Probe();
    } catch (const std::exception& e) {
      alive = Error(Code::kInternal, e.what());
    }
    endpoint.health().OnProbe(Clock::now(), alive.has_value(), alive ? "" : alive.error().message());
    Publish();
    const bool down = endpoint.health().state() == Health::State::kDown;
    timer.expires_after(down ? std::min(options_.times.cooldown, options_.times.probe_interval)
                             : options_.times.probe_interval);
    error_code ignored;
    co_await timer.async_wait(redirect_error(use_awaitable, ignored));
  }
}

void UpstreamBackend::Impl::Publish() {
  std::vector<engine::EndpointStats> now;
  for (const auto& endpoint : endpoints_) {
    now.push_back({.name = endpoint->options().url.Text(),
                   .healthy = endpoint->health().state() != Health::State::kDown,
                   .n_running = endpoint->n_running,
                   .n_requests = endpoint->n_requests,
                   .n_failures = endpoint->n_failures});
  }
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < now.size(); ++i) {
    if (now[i].healthy == snapshot_[i].healthy) continue;
    fmt::print(stderr, "quern: upstream {} of model {} {}\n", now[i].name, options_.name,
               now[i].healthy ? "is asked again" : "is not asked for now: " + endpoints_[i]->health().last_failure());
  }
  snapshot_ = std::move(now);
}

Result<std::unique_ptr<UpstreamBackend>> UpstreamBackend::Create(
    UpstreamOptions options, std::shared_ptr<const tokenizer::Tokenizer> tokenizer) {
  QUERN_TRY(CheckOptions(options));
  auto impl = std::make_shared<Impl>(std::move(options), std::move(tokenizer));
  QUERN_TRY(impl->Start());
  return std::unique_ptr<UpstreamBackend>(new UpstreamBackend(std::move(impl)));
}

UpstreamBackend::UpstreamBackend(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
UpstreamBackend::~UpstreamBackend() { impl_->Stop(); }
const engine::BackendInfo& UpstreamBackend::info() const { return impl_->info(); }
const engine::EngineLimits& UpstreamBackend::limits() const { return impl_->limits(); }
Result<engine::Generation> UpstreamBackend::Submit(engine::GenerateRequest request, engine::EventSink sink) {
  return impl_->Submit(std::move(request), std::move(sink));
}
engine::BackendStats UpstreamBackend::stats() const { return impl_->stats(); }
void UpstreamBackend::Drain() { impl_->Drain(); }

}  // namespace quern::upstream
