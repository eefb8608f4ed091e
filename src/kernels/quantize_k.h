// Super-blocks of 256 elements. Private to quantize.cc; x, w: [256], out: one block.
#pragma once

#include <cstddef>

namespace quern::kernels {

void QuantizeQ2K(const float* x, const float* w, std::byte* out);
void QuantizeQ3K(const float* x, const float* w, std::byte* out);
void QuantizeQ4K(const float* x, const float* w, std::byte* out);
void QuantizeQ5K(const float* x, const float* w, std::byte* out);
void QuantizeQ6K(const float* x, const float* w, std::byte* out);

}  // namespace quern::kernels
