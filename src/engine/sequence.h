// One request inside the native engine, from the queue to its last event. Engine thread only, once it has been taken
// from the queue.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "engine/event_stream.h"
#include "engine/right_of_way.h"
#include "engine/sampler.h"
#include "model/model.h"

namespace quern::engine {

// Waiting: state is null. Running: state holds the keys and values of tokens[0, state->n_tokens()). A running sequence
// that must give its pages to an older one goes back to waiting and computes its tokens again later; that changes
// nothing that anybody can see except the time.
// Invariant: n_computed() < tokens.size() <= n_prompt + n_max.
struct Sequence {
  uint64_t id = 0;  // by order of submission; the older go first
  GenerateRequest request;
  std::shared_ptr<EventStream> stream;
  std::chrono::steady_clock::time_point deadline;
  int n_max = 0;                // tokens that may be sampled
  std::vector<TokenId> tokens;  // the prompt, then the output
  Sampler sampler;
  std::unique_ptr<grammar::TokenConstraint> constraint;  // null, or where the output stands in request.grammar
  std::unique_ptr<model::SequenceState> state;
  std::optional<RightOfWay::Claim> claim;  // of an interactive one, until it is over
  int n_prompt_done = 0;                   // prompt tokens counted and reported as read, never twice

  // Scoring of the prompt: entries so far, and whether the event is out.
  PromptLogprobsEvent prompt_logprobs;
  bool prompt_scored = false;

  Sequence(uint64_t sequence_id, GenerateRequest checked, int vocab_size)
      : id(sequence_id), request(std::move(checked)), tokens(request.prompt), sampler(request, vocab_size) {}

  bool background() const { return request.priority == Priority::kBackground; }
  int n_prompt() const { return static_cast<int>(request.prompt.size()); }
  int n_tokens() const { return static_cast<int>(tokens.size()); }
  int n_generated() const { return n_tokens() - n_prompt(); }
  int n_computed() const { return state ? state->n_tokens() : 0; }
  int n_left() const { return n_tokens() - n_computed(); }
  bool needs_scores() const { return request.prompt_logprobs && !prompt_scored; }
  // Pages for what is known and for `ahead` more tokens, as far as the request may grow at all.
  int PagesFor(int ahead) const {
    const int n = std::min(n_tokens() + ahead, n_prompt() + n_max);
    return (n + model::kKvPageTokens - 1) / model::kKvPageTokens;
  }
  int PagesHeld() const { return (n_computed() + model::kKvPageTokens - 1) / model::kKvPageTokens; }
};

}  // namespace quern::engine
