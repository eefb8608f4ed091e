// The loop around a dot-product kernel for f8_e4m3, whose rows have their scales beside them. Anonymous on purpose, see
// tile-inl.h.
#pragma once

#include "kernels/tile.h"

namespace quern::kernels {
namespace {

// What turns an e4m3 that was shifted into a half's place into its value.
constexpr float kF8HalfShift = 256.0F;

// Kernel::Dot<N>(row, scales, x, cols, out): out[i] = dot(row, x[i]) for i < N, scales: one for each 128 columns. What
// happens for one i must not depend on N.
template <typename Kernel, int N>
void RunF8Rows(const MatMulTile& tile, int first) {
  const float* x[N];
  for (int i = 0; i < N; ++i) x[i] = static_cast<const float*>(tile.x[first + i]);
  float* y = tile.y + first * tile.y_stride;
  for (int o = 0; o < tile.n_out; ++o) {
    const float* scales = tile.scales + (tile.first_row + o) / kF8Block * tile.scale_stride;
    float out[N];
    Kernel::template Dot<N>(tile.w + static_cast<size_t>(o) * tile.w_row_bytes, scales, x, tile.cols, out);
    for (int i = 0; i < N; ++i) y[i * tile.y_stride + o] = tile.bias == nullptr ? out[i] : out[i] + tile.bias[o];
  }
}

template <typename Kernel>
void RunF8Tile(const MatMulTile& tile) {
  int i = 0;
  if constexpr (Kernel::kMaxRows >= 8) {
    for (; i + 8 <= tile.n; i += 8) RunF8Rows<Kernel, 8>(tile, i);
  }
  for (; i + 4 <= tile.n; i += 4) RunF8Rows<Kernel, 4>(tile, i);
  for (; i + 2 <= tile.n; i += 2) RunF8Rows<Kernel, 2>(tile, i);
  if (i < tile.n) RunF8Rows<Kernel, 1>(tile, i);
}

}  // namespace
}  // namespace quern::kernels
