#include <cmath>
#include <cstring>

#include "kernels/ref/blocks_ref.h"
#include "kernels/ref/packed_ref.h"
#include "kernels/ref/ref.h"

namespace quern::kernels::ref {
namespace {

// dot(group, row in it, x) for every pair of the tile.
template <typename X, typename Dot>
void ForEachPair(const MatMulTile& tile, Dot dot) {
  for (int o = 0; o < tile.n_out; ++o) {
    const std::byte* group = tile.w + static_cast<size_t>(o / kGroupRows) * tile.group_bytes;
    for (int i = 0; i < tile.n; ++i) {
      const float value = dot(group, o % kGroupRows, static_cast<const X*>(tile.x[i]));
      tile.y[i * tile.y_stride + o] = tile.bias == nullptr ? value : value + tile.bias[o];
    }
  }
}

template <typename Packed, typename Block>
Block SuperBlock(const std::byte* group, int64_t b, int row) {
  Block block;
  UnpackBlock(reinterpret_cast<const Packed*>(group)[b], row, &block);
  return block;
}

template <typename Packed, typename Block>
Block Block32(const std::byte* group, int64_t b, int row) {
  Block block;
  UnpackBlock(reinterpret_cast<const Packed*>(group)[b / 2], static_cast<int>(b % 2), row, &block);
  return block;
}

// The element of column c where columns stand `together` by row.
template <typename Value>
Value Plain(const std::byte* group, int64_t c, int row, int64_t together) {
  const int64_t at = (c / together * kGroupRows + row) * together + c % together;
  Value v;
  std::memcpy(&v, group + static_cast<size_t>(at) * sizeof(Value), sizeof(v));
  return v;
}

int Dot(const int8_t* a, const int8_t* b, int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// d * dx * sum_j scale_j * dot_j - dmin * dx * sum_j min_j * sum(x_j), j over 8 sub-blocks of 32.
template <typename Packed, typename Block>
float DotScaleMin(const std::byte* group, int row, const GroupX8K* x, int64_t cols) {
  float acc = 0;
  int8_t q[256];
  for (int64_t b = 0; b < cols / 256; ++b) {
    const auto block = SuperBlock<Packed, Block>(group, b, row);
    UnpackQuants(block, q);
    int scaled = 0;
    int mins = 0;
    for (int j = 0; j < 8; ++j) {
      int scale;
      int min;
      ScaleMin(block.scales, j, &scale, &min);
      scaled += scale * Dot(q + 32 * j, x[b].q + 32 * j, 32);
      mins += min * x[b].sum32[j];
    }
    acc = std::fma(-static_cast<float>(mins), F16ToF32(block.dmin) * x[b].d, acc);
    acc = std::fma(static_cast<float>(scaled), F16ToF32(block.d) * x[b].d, acc);
  }
  return acc;
}

}  // namespace

void MatMulF32(const MatMulTile& tile) {
  ForEachPair<float>(tile, [&](const std::byte* group, int row, const float* x) {
    float acc = 0;
    for (int64_t c = 0; c < tile.cols; ++c) {
      acc += Plain<float>(group, c, row, 1) * x[c];
    }
    return acc;
  });
}

void MatMulF16(const MatMulTile& tile) {
  ForEachPair<float>(tile, [&](const std::byte* group, int row, const float* x) {
    float acc = 0;
    for (int64_t c = 0; c < tile.cols; ++c) acc += F16ToF32(Plain<uint16_t>(group, c, row, 1)) * x[c];
    return acc;
  });
}

void MatMulBF16(const MatMulTile& tile) {
  ForEachPair<float>(tile, [&](const std::byte* group, int row, const float* x) {
    float acc = 0;
    for (int64_t c = 0; c < tile.cols; ++c) acc += Bf16ToF32(Plain<uint16_t>(group, c, row, 2)) * x[c];
    return acc;
  });
}

void MatMulF8E4M3(const MatMulTile& tile) {
  ForEachPair<float>(tile, [&](const std::byte* group, int row, const float* x) {
    const auto* scales = reinterpret_cast<const float*>(group);
    const std::byte* codes = group + PackedF8HeaderBytes(tile.cols);
    float acc = 0;
    for (int64_t c = 0; c < tile.cols; ++c) {
      acc += F8E4M3ToF32(Plain<uint8_t>(codes, c, row, 1)) * scales[c / kF8Block] * x[c];
    }
    return acc;
  });
}

void MatMulQ8_0(const MatMulTile& tile) {
  ForEachPair<GroupX8>(tile, [&](const std::byte* group, int row, const GroupX8* x) {
    float acc = 0;
    for (int64_t b = 0; b < tile.cols / 32; ++b) {
      const auto block = Block32<PackedQ8_0, BlockQ8_0>(group, b, row);
      const GroupX8& xg = x[b / 8];
      const int dot = Dot(block.q, xg.q + 32 * (b % 8), 32);
      acc = std::fma(static_cast<float>(dot), F16ToF32(block.d) * xg.d[b % 8], acc);
    }
    return acc;
  });
}

void MatMulQ4_0(const MatMulTile& tile) {
  ForEachPair<GroupX8>(tile, [&](const std::byte* group, int row, const GroupX8* x) {
    float acc = 0;
    for (int64_t b = 0; b < tile.cols / 32; ++b) {
      const auto block = Block32<PackedQ4_0, BlockQ4_0>(group, b, row);
      const GroupX8& xg = x[b / 8];
      int8_t q[32];
      for (int j = 0; j < 16; ++j) {
        q[j] = static_cast<int8_t>((block.qs[j] & 15) - 8);
        q[j + 16] = static_cast<int8_t>((block.qs[j] >> 4) - 8);
      }
      const int dot = Dot(q, xg.q + 32 * (b % 8), 32);
      acc = std::fma(static_cast<float>(dot), F16ToF32(block.d) * xg.d[b % 8], acc);
    }
    return acc;
  });
}

void MatMulQ4K(const MatMulTile& tile) {
  ForEachPair<GroupX8K>(tile, [&](const std::byte* group, int row, const GroupX8K* x) {
    return DotScaleMin<PackedQ4K, BlockQ4K>(group, row, x, tile.cols);
  });
}

void MatMulQ5K(const MatMulTile& tile) {
  ForEachPair<GroupX8K>(tile, [&](const std::byte* group, int row, const GroupX8K* x) {
    return DotScaleMin<PackedQ5K, BlockQ5K>(group, row, x, tile.cols);
  });
}

void MatMulQ6K(const MatMulTile& tile) {
  ForEachPair<GroupX8K>(tile, [&](const std::byte* group, int row, const GroupX8K* x) {
    float acc = 0;
    int8_t q[256];
    for (int64_t b = 0; b < tile.cols / 256; ++b) {
      const auto block = SuperBlock<PackedQ6K, BlockQ6K>(group, b, row);
      UnpackQuants(block, q);
      int scaled = 0;
      for (int k = 0; k < 16; ++k) scaled += block.scales[k] * Dot(q + 16 * k, x[b].q + 16 * k, 16);
      acc = std::fma(static_cast<float>(scaled), F16ToF32(block.d) * x[b].d, acc);
    }
    return acc;
  });
}

}  // namespace quern::kernels::ref
