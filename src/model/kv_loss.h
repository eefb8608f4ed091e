// What a type of keys and values costs in accuracy: next-token distributions over one text, beside those of another
// type.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/model.h"

namespace quern::model {

struct KvLoss {
  int n_positions = 0;
  double mean_kl = 0;  // KL(base || other) per position, in nats
  double max_kl = 0;
  double top1 = 0;  // share of positions where both find the same token likeliest
};

// Runs tokens through model twice, with keys and values as base and as other. Works in pieces: memory for two contexts
// and 64 rows of logits. Errors: kExhausted (memory), kInvalidArgument (no tokens, more than the context, bad ids).
Result<KvLoss> MeasureKvLoss(const Model& model, std::span<const TokenId> tokens, kernels::KvTypes base,
                             kernels::KvTypes other, ThreadPool& pool);

// n tokens that the model itself writes at temperature 1: a text in its own distribution, for a checkpoint that may
// have no tokenizer. Same seed, same tokens. Errors: as above.
Result<std::vector<TokenId>> SampleText(const Model& model, int n, uint32_t seed, ThreadPool& pool);

}  // namespace quern::model
