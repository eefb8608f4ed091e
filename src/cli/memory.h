// A checkpoint's memory plan from the settings; the same for `quern plan` and for every start.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "cli/settings.h"
#include "engine/memory_plan.h"
#include "model/checkpoint.h"

namespace quern::cli {

// Bytes of keys and values of one token as a start stores them.
uint64_t KvTokenBytes(const model::Checkpoint& checkpoint);

// parallel sequences with a whole context each. Errors: kInvalidArgument.
Result<engine::MemoryPlan> PlanOf(const model::Checkpoint& checkpoint, const Settings& settings, int parallel);

// Bytes for keys and values that a start may take: --kv-memory, else what is usual as far as the weights leave it.
// Errors: kExhausted: the weights do not fit, or not even one sequence of the asked context beside them; the message
// has the numbers and what would fit.
Result<uint64_t> KvBudget(const model::Checkpoint& checkpoint, const Settings& settings);

}  // namespace quern::cli
