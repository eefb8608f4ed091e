// A checkpoint's memory plan from the settings; the same for `quern plan` and for every start.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "cli/settings.h"
#include "engine/memory_plan.h"
#include "model/checkpoint.h"

namespace quern::cli {

// What keys and values are kept as unless told otherwise: f32 for a checkpoint in f32, f16 for any other.
kernels::KvTypes DefaultKvTypes(const model::Checkpoint& checkpoint);

// parallel sequences with a whole context each. Errors: kInvalidArgument.
Result<engine::MemoryPlan> PlanOf(const model::Checkpoint& checkpoint, const Settings& settings, int parallel);

// Bytes for keys and values that a start may take: --kv-memory, else what is usual as far as the weights leave it.
// Errors: kExhausted: the weights do not fit, or not even one sequence of the asked context beside them; the message
// has the numbers and what would fit.
Result<uint64_t> KvBudget(const model::Checkpoint& checkpoint, const Settings& settings);

// What a model takes while it is loaded, and how many tokens of prompt and answer it then has room for.
struct LoadedSize {
  uint64_t bytes = 0;
  int context = 0;
};

// Errors: those of KvBudget.
Result<LoadedSize> SizeWhenLoaded(const model::Checkpoint& checkpoint, const Settings& settings);

}  // namespace quern::cli
