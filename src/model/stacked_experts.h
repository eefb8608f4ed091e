// Experts that a file stores as one tensor per layer, taken apart into one view per expert.
#pragma once

#include <vector>

#include "base/status.h"
#include "model/stored_tensor.h"

namespace quern::model {

// Replaces every "<layer>.mlp.experts.{gate_up_proj,gate_proj,up_proj,down_proj}" ([E, rows, cols], no ".weight") by
// "<layer>.mlp.experts.E.{gate,up,down}_proj.weight" for each expert; a fused gate_up_proj holds the gate's rows first.
// The same for "..._proj_scale_inv", which becomes "..._proj.weight_scale_inv" (f8_scales.h).
// Views stay into the same bytes. Errors: kCorrupt (not three dims, an odd number of fused rows), kExhausted (more than
// kMaxExperts experts or kMaxTensors tensors); the message starts with the tensor.
Result<std::vector<StoredTensor>> UnstackExperts(std::vector<StoredTensor> tensors);

}  // namespace quern::model
