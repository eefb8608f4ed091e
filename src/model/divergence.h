// How far one model's predictions are from another's: the price of a weight or cache type.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/model.h"

namespace quern::model {

struct Divergence {
  int64_t n_positions = 0;
  double mean_kl = 0;  // of KL(source || other), in nats
  double kl_99 = 0;    // 99 of 100 positions are below
  double max_kl = 0;
  double same_top = 0;                                 // share of positions with the same most likely token
  double source_perplexity = 0, other_perplexity = 0;  // exp of the mean -log p of the text's own next token
};

// Collects positions. One thread at a time.
class DivergenceSum {
 public:
  // One position: both models' logits [vocab], finite, and the token that follows in the text (-1: the window ends).
  void Add(std::span<const float> source, std::span<const float> other, TokenId next);
  Divergence Figures() const;

 private:
  std::vector<float> kl_;
  int64_t n_same_top_ = 0;
  int64_t n_next_ = 0;
  double source_nll_ = 0, other_nll_ = 0;
};

// Both models read the tokens in windows. Sums run in the order of the text: the same figures for any number of
// threads. Errors: kInvalidArgument (vocabularies differ, fewer than two tokens, an id out of range, the window),
// kCorrupt (a logit that is not finite).
Result<Divergence> CompareModels(const Model& source, const Model& other, std::span<const TokenId> tokens, int window,
                                 ThreadPool& pool, const ProgressFn& progress);

}  // namespace quern::model
