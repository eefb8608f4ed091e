// The loop around a kernel for packed groups, for files built for one instruction set. Everything is in an anonymous
// namespace on purpose: each including file gets its own copy, built with its own flags, and none is visible to the
// linker.
#pragma once

#include "kernels/packed_block.h"
#include "kernels/tile.h"

namespace quern::kernels {
namespace {

// Lines of packed blocks are fetched twice before they are used: early into a core's second cache, which has places
// enough for lines under way, and shortly before into its first. Straight to the first they would fill the few places
// that it has, and a core could not compute while it waits.
constexpr size_t kPrefetchFar = 6144;
constexpr size_t kPrefetchNear = 768;

// With many columns a line is used for so long that the hardware's own prefetching keeps up.
constexpr int kPrefetchMaxColumns = 8;

template <int kColumns, size_t kBytes>
inline void Prefetch(const void* p) {
  if constexpr (kColumns <= kPrefetchMaxColumns) {
    const auto* here = static_cast<const char*>(p);
#pragma GCC unroll 16
    for (size_t at = 0; at < kBytes; at += 64) {
      __builtin_prefetch(here + kPrefetchFar + at, 0, 2);
      __builtin_prefetch(here + kPrefetchNear + at, 0, 3);
    }
  }
}

// Kernel::Columns<N>(group, part, cols, x, out): out[i] = the rows of one part of a group times x[i], for i < N. What
// happens for one i must not depend on N.
template <typename Kernel, int N>
void RunColumns(const MatMulTile& tile, int group, int part, int first) {
  using V = typename Kernel::V;
  const int row = group * kGroupRows + part * V::kLanes;
  const int n = tile.n_out - row;
  if (n <= 0) return;
  typename V::F out[N];
  Kernel::template Columns<N>(tile.w + static_cast<size_t>(group) * tile.group_bytes, part, tile.cols, tile.x + first,
                              out);
  float* y = tile.y + first * tile.y_stride + row;
  const float* bias = tile.bias == nullptr ? nullptr : tile.bias + row;
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) {
    float* to = y + i * tile.y_stride;
    if (n >= V::kLanes) {
      V::StoreFloats(to, bias == nullptr ? out[i] : V::Add(out[i], V::LoadFloats(bias)));
    } else {
      V::StorePart(to, n, bias == nullptr ? out[i] : V::Add(out[i], V::LoadPart(bias, n)));
    }
  }
}

template <typename Kernel, int N>
int RunBlocks(const MatMulTile& tile, int group, int part, int first) {
  if constexpr (N <= Kernel::kMaxColumns) {
    for (; first + N <= tile.n; first += N) RunColumns<Kernel, N>(tile, group, part, first);
  }
  return first;
}

// The last few columns, N at most: all at once where a kernel takes so many.
template <typename Kernel, int N>
void RunRest(const MatMulTile& tile, int group, int part, int first) {
  if constexpr (N > 0) {
    if (N > Kernel::kMaxColumns || first + N > tile.n) return RunRest<Kernel, N - 1>(tile, group, part, first);
    if constexpr (N <= Kernel::kMaxColumns) {
      first = RunBlocks<Kernel, N>(tile, group, part, first);
      RunRest<Kernel, N - 1>(tile, group, part, first);
    }
  }
}

template <typename Kernel>
void RunTile(const MatMulTile& tile) {
  for (int group = 0; group * kGroupRows < tile.n_out; ++group) {
    for (int part = 0; part < Kernel::V::kParts; ++part) {
      const int i = RunBlocks<Kernel, 8>(tile, group, part, RunBlocks<Kernel, 12>(tile, group, part, 0));
      RunRest<Kernel, 7>(tile, group, part, i);
    }
  }
}

}  // namespace
}  // namespace quern::kernels
