// The engine's public face: everything above it (dialects, server, agent, command line) sees this header and nothing
// else of engine/ or model/. A Backend turns token ids into token ids; JSON and text never get here.
//
//   Submit(request, sink) -> Generation      bounded queue, refused with kExhausted/kUnavailable when full
//   sink(event) ...                          on the backend's thread, in order, last event is Finished, exactly once
//   ~Generation                              cancels; when it returns the sink is not running and never runs again
//
// Bodies: the native engine (engine/native_engine.h), the scripted one for tests without a model
// (engine/scripted_backend.h), a model that runs elsewhere (upstream/upstream_backend.h); later several machines.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "grammar/grammar.h"

namespace quern::engine {

using TokenId = int32_t;

// How the next token is chosen. Order of application: the grammar, logit_bias, repetition, presence and
// frequency penalties, temperature, top_k, top_p, min_p, draw. temperature 0 is greedy (ties to the lower id).
struct SamplingParams {
  float temperature = 1.0F;                           // >= 0
  int top_k = 0;                                      // 0 = off
  float top_p = 1.0F;                                 // (0, 1]
  float min_p = 0.0F;                                 // [0, 1], relative to the most likely token
  float repetition_penalty = 1.0F;                    // > 0, multiplicative, over prompt and output
  float presence_penalty = 0.0F;                      // once per token seen in the output
  float frequency_penalty = 0.0F;                     // times its count in the output
  uint64_t seed = 0;                                  // same request and seed, same tokens, whatever else runs
  std::vector<std::pair<TokenId, float>> logit_bias;  // added to the raw logits; <= -100 bans the token
};

// Who goes first. A background request is computed only while no interactive one can be: it waits behind all of them,
// stands still while one runs, gives up its place and its memory to one that needs them (its tokens are then computed
// again; its output is the same), and never makes an interactive one be refused for a full queue.
enum class Priority { kInteractive, kBackground };

struct GenerateRequest {
  std::vector<TokenId> prompt;  // not empty, ids below vocab_size
  Priority priority = Priority::kInteractive;
  SamplingParams sampling;
  int max_tokens = 0;                // 0 = score or prefill only; otherwise at most this many sampled tokens
  int min_tokens = 0;                // stop tokens are banned before this many
  std::vector<TokenId> stop_tokens;  // sampled, counted, reported, and end the generation
  // Null, or what the sampled tokens have to fit. It needs a stop token: stop tokens are allowed where the text may end
  // and nowhere else, whatever they say as text; where nothing else may come, min_tokens does not ban them. max_tokens
  // may cut the text short. A grammar that fails on the way ends the generation with kError.
  std::shared_ptr<const grammar::Grammar> grammar;
  int n_logprobs = -1;           // -1 none, else the chosen token's log-probability and this many best ones (0..20)
  bool prompt_logprobs = false;  // also report them for the prompt's tokens (needs n_logprobs >= 0)
  std::chrono::milliseconds time_limit{0};  // 0 = the engine's default; none for background requests
  // How long a model that is loaded on demand stays after this request; negative = for good. Unset = its own setting.
  std::optional<std::chrono::milliseconds> keep_alive;
};

struct TokenLogprob {
  TokenId token;
  float logprob;  // natural log of the softmax of the raw logits, before bias, penalties and temperature
};

// Sent once per sampled token.
struct TokenEvent {
  TokenId token;
  int n_generated;                // sampled so far, this one included: the count that usage is made of
  float logprob;                  // 0 unless n_logprobs >= 0
  std::vector<TokenLogprob> top;  // descending; ties by lower id
};

// Sent once, before the first TokenEvent, when prompt_logprobs was asked for. Entry i belongs to prompt[i]; entry 0
// has logprob 0 and no top list, because nothing precedes it.
struct PromptLogprobsEvent {
  std::vector<TokenLogprob> chosen;
  std::vector<std::vector<TokenLogprob>> top;
};

// Progress of reading the prompt; sent at most once per computed chunk.
struct PromptProgressEvent {
  int n_done;  // prompt tokens whose state is computed or was found in a cache
  int n_total;
};

enum class FinishReason {
  kStopToken,  // one of stop_tokens was sampled (it is the last TokenEvent)
  kLength,     // max_tokens reached, or the context is full
  kCancelled,  // Cancel() or a destroyed Generation that still had a sink
  kError,      // error holds why; the other generations go on
};

struct FinishedEvent {
  FinishReason reason;
  int n_prompt;  // prompt tokens
  int n_cached;  // of these, not computed because their state was still there
  // Sampled tokens, stop token included: the number of TokenEvents, except where the tokens were cut from the text of a
  // server that counts for itself (upstream/); then it is that server's count.
  int n_generated;
  Status error = Status(Code::kInternal, "no error");  // meaningful only for kError
};

using Event = std::variant<TokenEvent, PromptLogprobsEvent, PromptProgressEvent, FinishedEvent>;

// Called on the backend's thread; must return quickly, not throw, and not destroy its own Generation.
using EventSink = std::function<void(const Event&)>;

// A running request. Owned by the submitter, movable; destruction cancels and waits for a running sink call.
class Generation {
 public:
  class Impl {
   public:
    virtual ~Impl() = default;
    virtual void Cancel() = 0;  // idempotent, any thread; a Finished(kCancelled) event follows within one step
    virtual void Detach() = 0;  // cancels; no sink call is running or begins after it returns
  };

  Generation() = default;
  explicit Generation(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  ~Generation() { Reset(); }
  Generation(Generation&& other) noexcept : impl_(std::move(other.impl_)) {}
  Generation& operator=(Generation&& other) noexcept {
    if (this != &other) {
      Reset();
      impl_ = std::move(other.impl_);
    }
    return *this;
  }

  void Cancel() {
    if (impl_) impl_->Cancel();
  }
  void Reset() {
    if (impl_) std::exchange(impl_, nullptr)->Detach();
  }

 private:
  std::shared_ptr<Impl> impl_;
};

// Sampling defaults that the checkpoint's generation_config asks for.
struct SamplingDefaults {
  float temperature = 1.0F;
  float top_p = 1.0F;
  int top_k = 0;
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;
};

// Fixed facts about what a backend runs.
struct BackendInfo {
  std::string architecture;  // "qwen3_moe", "scripted", ...
  int vocab_size = 0;        // ids below this may be sent and sampled
  int context_length = 0;    // prompt + output, tokens
  std::vector<TokenId> eos_tokens;
  SamplingDefaults defaults;
};

// Capacities; every one has a default. A larger value costs what its comment says.
struct EngineLimits {
  int max_waiting = 256;      // queued requests beyond the running ones; a few KiB each plus their prompt
  int max_running = 16;       // sequences with state; KV memory for each
  int max_logit_bias = 1024;  // entries per request
  int max_stop_tokens = 256;
  std::chrono::milliseconds max_time{3600 * 1000};  // per interactive request, queueing included
};

// Where the model is now; for listings.
struct Residency {
  enum class State {
    kLoaded,
    kLoading,   // requests wait for it
    kUnloaded,  // the next request loads it
    kElsewhere,
  };
  State state = State::kLoaded;
  uint64_t bytes = 0;  // memory it takes while it is loaded; 0 = not known
  std::optional<std::chrono::system_clock::time_point> unloaded_at;  // if no request comes until then
};

// One of the servers behind a backend that has its model elsewhere.
struct EndpointStats {
  std::string name;  // its address
  bool healthy = true;
  int n_running = 0;
  uint64_t n_requests = 0;
  uint64_t n_failures = 0;
};

// Counters since start and gauges of now; for /metrics.
struct BackendStats {
  uint64_t n_prompt_tokens = 0;
  uint64_t n_generated_tokens = 0;
  uint64_t n_finished = 0;
  uint64_t n_cancelled = 0;
  uint64_t n_failed = 0;
  double prompt_seconds = 0;    // time spent reading prompts
  double generate_seconds = 0;  // time spent generating
  int n_running = 0;
  int n_waiting = 0;
  uint64_t kv_bytes_used = 0;
  uint64_t kv_bytes_total = 0;
  std::vector<EndpointStats> endpoints;  // none for a model of ours
};

// Thread-safe. Outlives its Generations.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const BackendInfo& info() const = 0;
  virtual const EngineLimits& limits() const = 0;

  // Errors: kInvalidArgument (empty prompt, id out of range, a parameter out of range, too long: the message has the
  // numbers), kExhausted (queue full), kUnavailable (shutting down).
  virtual Result<Generation> Submit(GenerateRequest request, EventSink sink) = 0;

  virtual BackendStats stats() const = 0;
  virtual Residency residency() const { return {}; }

  // Refuses new requests from now on; running ones go on. Used for graceful shutdown.
  virtual void Drain() = 0;
  // true: somebody waits for this backend's place, so its background requests no longer stand still for what other
  // models are asked. Any thread.
  virtual void Hurry(bool) {}
};

}  // namespace quern::engine
