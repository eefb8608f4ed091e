// The loop around a dot-product kernel, for files built for one instruction set. Everything is in an anonymous
// namespace on purpose: each including file gets its own copy, built with its own flags, and none is visible to the
// linker.
#pragma once

#include "kernels/tile.h"

namespace quern::kernels {
namespace {

// Kernel::Dot<N>(row, x, cols, out): out[i] = dot(row, x[i]) for i < N; what happens for one i must not depend on N.
// N rows of x (a few tens of KB) stay in L1 while the tile's weights, in L2 after the first pass, go by.
template <typename Kernel, int N>
void RunRows(const MatMulTile& tile, int first) {
  using X = typename Kernel::X;
  const X* x[N];
  for (int i = 0; i < N; ++i) x[i] = static_cast<const X*>(tile.x[first + i]);
  float* y = tile.y + first * tile.y_stride;
  for (int o = 0; o < tile.n_out; ++o) {
    float out[N];
    Kernel::template Dot<N>(tile.w + static_cast<size_t>(o) * tile.w_row_bytes, x, tile.cols, out);
    const float bias = tile.bias == nullptr ? 0.0F : tile.bias[o];
    for (int i = 0; i < N; ++i) y[i * tile.y_stride + o] = tile.bias == nullptr ? out[i] : out[i] + bias;
  }
}

template <typename Kernel>
void RunTile(const MatMulTile& tile) {
  int i = 0;
  if constexpr (Kernel::kMaxRows >= 8) {
    for (; i + 8 <= tile.n; i += 8) RunRows<Kernel, 8>(tile, i);
  }
  for (; i + 4 <= tile.n; i += 4) RunRows<Kernel, 4>(tile, i);
  for (; i + 2 <= tile.n; i += 2) RunRows<Kernel, 2>(tile, i);
  if (i < tile.n) RunRows<Kernel, 1>(tile, i);
}

// q4_k / q5_k: 12 packed bytes to 8 scales and 8 mins, one byte each.
inline void UnpackScaleMin(const uint8_t* packed, uint32_t out[4]) {
  uint32_t u[3];
  __builtin_memcpy(u, packed, sizeof(u));
  out[0] = u[0] & 0x3F3F3F3FU;
  out[1] = (u[2] & 0x0F0F0F0FU) | (((u[0] >> 6) & 0x03030303U) << 4);
  out[2] = u[1] & 0x3F3F3F3FU;
  out[3] = ((u[2] >> 4) & 0x0F0F0F0FU) | (((u[1] >> 6) & 0x03030303U) << 4);
}

}  // namespace
}  // namespace quern::kernels
