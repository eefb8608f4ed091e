// Collects an ImportanceMatrix while a model reads a text.
#pragma once

#include <span>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/importance.h"
#include "model/model.h"

namespace quern::model {

// The mean square of every input column of every matrix over the tokens, read in windows; of an expert's matrices over
// the tokens that it saw. Sums run in the order of the text: the same values for any number of threads. Routers are
// left out, they are never quantised. Errors: kInvalidArgument (no tokens, an id out of range, the window), kCorrupt
// (an activation that is not finite), kUnsupported (the model has no weights of its own).
Result<ImportanceMatrix> CollectImportance(const Model& model, std::span<const TokenId> tokens, int window,
                                           ThreadPool& pool, const ProgressFn& progress);

}  // namespace quern::model
