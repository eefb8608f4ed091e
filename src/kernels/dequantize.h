// Stored rows of any type to f32, plainly. Used for embeddings, norm weights, conversions and tests.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace quern::kernels {

// True for f32, f16, bf16 and all block types of tensor/dtype.h (not for f8_e4m3, f64 and integers).
bool CanDequantize(DType type);

// out[n_elements] from one row; row: RowBytes(type, n_elements) bytes, any alignment. n_elements must be a multiple of
// the type's block and CanDequantize(type) true (checked). Exact in f32 up to the rounding of the written formulas.
void DequantizeRow(DType type, const std::byte* row, int64_t n_elements, float* out);

// The same for f8_e4m3, whose scales stand apart: out[c] = row[c] * scales[c / 128].
void DequantizeF8Row(const std::byte* row, const float* scales, int64_t n_elements, float* out);

}  // namespace quern::kernels
