#include <cstring>

#include "kernels/ref/blocks_ref.h"
#include "kernels/ref/ref.h"

namespace quern::kernels::ref {
namespace {

// dot(row, x) for every pair of the tile.
template <typename X, typename Dot>
void ForEachPair(const MatMulTile& tile, Dot dot) {
  for (int o = 0; o < tile.n_out; ++o) {
    const std::byte* row = tile.w + static_cast<size_t>(o) * tile.w_row_bytes;
    for (int i = 0; i < tile.n; ++i) {
      const float value = dot(row, static_cast<const X*>(tile.x[i]));
      tile.y[i * tile.y_stride + o] = tile.bias == nullptr ? value : value + tile.bias[o];
    }
  }
}

template <typename Block>
Block LoadBlock(const std::byte* row, int64_t index) {
  Block block;
  std::memcpy(&block, row + static_cast<size_t>(index) * sizeof(Block), sizeof(Block));
  return block;
}

uint16_t Load16(const std::byte* row, int64_t index) {
  uint16_t v;
  std::memcpy(&v, row + 2 * index, sizeof(v));
  return v;
}

int Dot(const int8_t* a, const int8_t* b, int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// d * dx * sum_j scale_j * dot_j - dmin * dx * sum_j min_j * sum(x_j), j over 8 sub-blocks of 32.
template <typename Block>
float DotScaleMin(const std::byte* row, const GroupX8K* x, int64_t cols) {
  float acc = 0;
  int8_t q[256];
  for (int64_t b = 0; b < cols / 256; ++b) {
    const auto block = LoadBlock<Block>(row, b);
    UnpackQuants(block, q);
    int scaled = 0;
    int mins = 0;
    for (int j = 0; j < 8; ++j) {
      int scale;
      int min;
      ScaleMin(block.scales, j, &scale, &min);
      scaled += scale * Dot(q + 32 * j, x[b].q + 32 * j, 32);
      mins += min * (x[b].sum[2 * j] + x[b].sum[2 * j + 1]);
    }
    acc += x[b].d * F16ToF32(block.d) * static_cast<float>(scaled);
    acc -= x[b].d * F16ToF32(block.dmin) * static_cast<float>(mins);
  }
  return acc;
}

}  // namespace

void MatMulF32(const MatMulTile& tile) {
  ForEachPair<float>(tile, [&](const std::byte* row, const float* x) {
    float acc = 0;
    for (int64_t c = 0; c < tile.cols; ++c) {
      float w;
      std::memcpy(&w, row + 4 * c, sizeof(w));
      acc += w * x[c];
    }
    return acc;
  });
}

void MatMulF16(const MatMulTile& tile) {
  ForEachPair<float>(tile, [&](const std::byte* row, const float* x) {
    float acc = 0;
    for (int64_t c = 0; c < tile.cols; ++c) acc += F16ToF32(Load16(row, c)) * x[c];
    return acc;
  });
}

void MatMulBF16(const MatMulTile& tile) {
  ForEachPair<float>(tile, [&](const std::byte* row, const float* x) {
    float acc = 0;
    for (int64_t c = 0; c < tile.cols; ++c) acc += Bf16ToF32(Load16(row, c)) * x[c];
    return acc;
  });
}

void MatMulF8E4M3(const MatMulTile& tile) {
  for (int o = 0; o < tile.n_out; ++o) {
    const std::byte* row = tile.w + static_cast<size_t>(o) * tile.w_row_bytes;
    const float* scales = tile.scales + (tile.first_row + o) / kF8Block * tile.scale_stride;
    for (int i = 0; i < tile.n; ++i) {
      const auto* x = static_cast<const float*>(tile.x[i]);
      float acc = 0;
      for (int64_t c = 0; c < tile.cols; ++c) {
        acc += F8E4M3ToF32(static_cast<uint8_t>(row[c])) * scales[c / kF8Block] * x[c];
      }
      tile.y[i * tile.y_stride + o] = tile.bias == nullptr ? acc : acc + tile.bias[o];
    }
  }
}

void MatMulQ8_0(const MatMulTile& tile) {
  ForEachPair<GroupX8>(tile, [&](const std::byte* row, const GroupX8* x) {
    float acc = 0;
    for (int64_t b = 0; b < tile.cols / 32; ++b) {
      const auto block = LoadBlock<BlockQ8_0>(row, b);
      const GroupX8& group = x[b / 8];
      const int dot = Dot(block.q, group.q + 32 * (b % 8), 32);
      acc += F16ToF32(block.d) * group.d[b % 8] * static_cast<float>(dot);
    }
    return acc;
  });
}

void MatMulQ4_0(const MatMulTile& tile) {
  ForEachPair<GroupX8>(tile, [&](const std::byte* row, const GroupX8* x) {
    float acc = 0;
    for (int64_t b = 0; b < tile.cols / 32; ++b) {
      const auto block = LoadBlock<BlockQ4_0>(row, b);
      const GroupX8& group = x[b / 8];
      int8_t q[32];
      for (int j = 0; j < 16; ++j) {
        q[j] = static_cast<int8_t>((block.qs[j] & 15) - 8);
        q[j + 16] = static_cast<int8_t>((block.qs[j] >> 4) - 8);
      }
      const int dot = Dot(q, group.q + 32 * (b % 8), 32);
      acc += F16ToF32(block.d) * group.d[b % 8] * static_cast<float>(dot);
    }
    return acc;
  });
}

void MatMulQ4K(const MatMulTile& tile) {
  ForEachPair<GroupX8K>(
      tile, [&](const std::byte* row, const GroupX8K* x) { return DotScaleMin<BlockQ4K>(row, x, tile.cols); });
}

void MatMulQ5K(const MatMulTile& tile) {
  ForEachPair<GroupX8K>(
      tile, [&](const std::byte* row, const GroupX8K* x) { return DotScaleMin<BlockQ5K>(row, x, tile.cols); });
}

void MatMulQ6K(const MatMulTile& tile) {
  ForEachPair<GroupX8K>(tile, [&](const std::byte* row, const GroupX8K* x) {
    float acc = 0;
    int8_t q[256];
    for (int64_t b = 0; b < tile.cols / 256; ++b) {
      const auto block = LoadBlock<BlockQ6K>(row, b);
      UnpackQuants(block, q);
      int scaled = 0;
      for (int k = 0; k < 16; ++k) scaled += block.scales[k] * Dot(q + 16 * k, x[b].q + 16 * k, 16);
      acc += x[b].d * F16ToF32(block.d) * static_cast<float>(scaled);
    }
    return acc;
  });
}

}  // namespace quern::kernels::ref
