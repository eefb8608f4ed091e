// `quern bench kv`: what each type of keys and values takes and what it costs in accuracy.
#pragma once

#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/model.h"

namespace quern::cli {

// A table, one line per type: bytes per token, KL divergence from f32 and share of equal first choices, over n_tokens
// that the model writes itself. Errors: those of the forward pass.
Result<std::string> KvLossTable(const model::Model& model, int n_tokens, ThreadPool& pool);

}  // namespace quern::cli
