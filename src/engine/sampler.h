// Logits of one row -> the next token. Everything here is a function of the request, its own tokens and the row: never
// of the batch, the time or the thread.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"

namespace quern::engine {

// Work space, one per engine thread, grown on first use to some bytes per vocabulary entry.
struct SamplerScratch {
  std::vector<uint32_t> mask;
  std::vector<float> adjusted;
  std::vector<double> weights;
  std::vector<TokenLogprob> best;
};

// One per sequence; one caller at a time. Keeps its own copy of what it needs from the request.
class Sampler {
 public:
  // vocab_size: ids from here on are padding and never chosen. The request has passed CheckRequest.
  Sampler(const GenerateRequest& request, int vocab_size);

  // The token after n_generated sampled ones. logits: [>= vocab_size], raw. constraint: null, or at the state after
  // these tokens. Errors: kInternal (a logit is NaN or +infinity, or all are -infinity: the model is broken for this
  // row), kInvalidArgument (bias, min_tokens and constraint ban every token), those of the constraint.
  Result<TokenId> Choose(std::span<const float> logits, int n_generated, SamplerScratch& scratch,
                         grammar::TokenConstraint* constraint = nullptr) const;

  bool IsStop(TokenId token) const;

  // Tells that token is part of the output now; penalties count it.
  void Accept(TokenId token);

 private:
  struct Seen {
    TokenId token;
    uint32_t n_in_output;
  };

  Seen& SeenEntry(TokenId token);
  void Adjust(std::span<float> logits, bool may_stop) const;
  // All tokens that top_p could keep, sorted, into scratch.best; returns the weight of all. Those that are less likely
  // than an even share of what top_p drops do not carry more than that together, so they can be left out unsorted.
  double SelectLikely(std::span<const float> logits, float highest, SamplerScratch& scratch) const;
  TokenId Draw(std::span<const float> logits, float highest, double u, SamplerScratch& scratch) const;

  SamplingParams params_;
  std::vector<TokenId> stop_tokens_;
  int min_tokens_;
  size_t vocab_size_;
  uint64_t n_prompt_;
  bool has_penalties_;
  std::vector<Seen> seen_;  // distinct tokens of prompt and output; empty without penalties
  std::unordered_map<TokenId, uint32_t> seen_idx_;
};

// Log-probability of token under the softmax of logits[0, vocab_size), and the n_top best (descending, ties by lower
// id) in top. Errors: kInternal as Choose().
Result<float> LogprobOf(std::span<const float> logits, TokenId token, int n_top, int vocab_size,
                        std::vector<TokenLogprob>& top);

}  // namespace quern::engine
