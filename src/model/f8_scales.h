// FP8 checkpoints: a matrix X.weight of type f8_e4m3 has beside it X.weight_scale_inv (docs/formats/safetensors.md),
// which despite its name multiplies: W[i, j] = f8[i, j] * scale[i / 128, j / 128], blocks cut off at the edges. A
// tensor is quantised if and only if it is of type f8_e4m3; lists in config.json are not asked.
#pragma once

#include <string_view>

#include "base/status.h"
#include "model/stored_tensor.h"

namespace quern::model {

class Checkpoint;

inline constexpr int kF8BlockSide = 128;
inline constexpr std::string_view kF8ScaleSuffix = "_scale_inv";

// The scales of a tensor, [ceil(rows / 128), ceil(cols / 128)] in f32, f16 or bf16; null for a tensor that is not
// f8_e4m3. Errors: kCorrupt (they are missing, of another shape or type, or stand beside a tensor of another type).
Result<const StoredTensor*> FindF8Scales(const Checkpoint& checkpoint, const StoredTensor& tensor);

}  // namespace quern::model
