// Measures what a prediction for a model on this machine needs to know.
#pragma once

#include "base/status.h"
#include "base/thread_pool.h"
#include "engine/speed_model.h"
#include "model/config.h"

namespace quern::engine {

// Adds to costs.matrix the types of work that are not there yet, and puts the attention of config's heads into
// costs.attention; takes up to half a second each and 512 MiB. Errors: kExhausted.
Result<void> MeasureKernels(const model::ModelWork& work, const model::ModelConfig& config, kernels::KvTypes kv_types,
                            ThreadPool& pool, KernelCosts* costs);

}  // namespace quern::engine
