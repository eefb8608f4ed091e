#include "kernels/packing.h"

#include <cstring>

#include "base/check.h"
#include "kernels/ref/blocks_ref.h"
#include "kernels/ref/packed_ref.h"
#include "kernels/tile.h"

namespace quern::kernels {
namespace {

uint32_t Word(const void* p, int index) {
  uint32_t v;
  std::memcpy(&v, static_cast<const char*>(p) + 4 * index, sizeof(v));
  return v;
}

void OrQuad(uint8_t* line, int row, uint32_t bits) {
  const uint32_t v = ref::Quad(line, row) | bits;
  std::memcpy(line + 4 * row, &v, sizeof(v));
}

// ---- One row's block into its place; the packed block starts as zeros ----

void PackScales(const uint8_t* packed, int row, uint8_t (*planes)[64]) {
  for (int s = 0; s < 8; ++s) {
    int scale;
    int min;
    ref::ScaleMin(packed, s, &scale, &min);
    const int at = (s % 4) / 2 * 32 + 2 * row + s % 2;
    planes[s / 4][at] |= static_cast<uint8_t>(scale);
    if (s < 4) {
      planes[2][at] |= static_cast<uint8_t>(min);
      continue;
    }
    for (int plane = 0; plane < 3; ++plane) {
      planes[plane][at] |= static_cast<uint8_t>(((min >> (2 * plane)) & 3) << 6);
    }
  }
}

// 64 columns of the file: low nibbles are the even sub-block's lines, high ones the odd one's.
void PackNibbles64(const uint8_t* qs, int row, uint8_t (*even)[64], uint8_t (*odd)[64]) {
  for (int v = 0; v < 4; ++v) {
    const uint32_t a = Word(qs, 2 * v);
    const uint32_t b = Word(qs, 2 * v + 1);
    OrQuad(even[v], row, (a & ref::kNibbles) | ((b & ref::kNibbles) << 4));
    OrQuad(odd[v], row, ((a >> 4) & ref::kNibbles) | (b & (ref::kNibbles << 4)));
  }
}

void PackRow(const BlockQ4K& block, int row, PackedQ4K* out) {
  out->d[row] = block.d;
  out->dmin[row] = block.dmin;
  PackScales(block.scales, row, out->scales);
  for (int c = 0; c < 4; ++c) PackNibbles64(block.qs + 32 * c, row, out->q[2 * c], out->q[2 * c + 1]);
}

void PackRow(const BlockQ5K& block, int row, PackedQ5K* out) {
  out->d[row] = block.d;
  out->dmin[row] = block.dmin;
  PackScales(block.scales, row, out->scales);
  for (int c = 0; c < 4; ++c) {
    PackNibbles64(block.qs + 32 * c, row, out->sub[2 * c].q, out->sub[2 * c + 1].q);
  }
  for (int s = 0; s < 8; ++s) {
    uint32_t bits = 0;
    for (int k = 0; k < 8; ++k) bits |= ((Word(block.qh, k) >> s) & 0x01010101U) << k;
    OrQuad(out->sub[s].high, row, bits);
  }
}

void PackRow(const BlockQ6K& block, int row, PackedQ6K* out) {
  out->d[row] = block.d;
  for (int s = 0; s < 16; ++s) {
    out->scales[s / 2][row][s % 2] = block.scales[s];
    const int half = s / 8;
    const int quarter = s % 8 / 2;
    uint32_t high = 0;
    for (int k = 0; k < 4; ++k) {
      const int i = 4 * (s % 2) + k;
      const uint32_t low = Word(block.ql, 16 * half + 8 * (quarter % 2) + i) >> (quarter < 2 ? 0 : 4);
      OrQuad(out->sub[s].q[k / 2], row, (low & ref::kNibbles) << (4 * (k % 2)));
      high |= ((Word(block.qh, 8 * half + i) >> (2 * quarter)) & 0x03030303U) << (2 * k);
    }
    OrQuad(out->sub[s].high, row, high);
  }
}

void PackRow(const BlockQ8_0& block, int half, int row, PackedQ8_0* out) {
  out->d[half][row] = block.d;
  for (int k = 0; k < 8; ++k) OrQuad(out->q[half][k], row, Word(block.q, k) ^ 0x80808080U);
}

void PackRow(const BlockQ4_0& block, int half, int row, PackedQ4_0* out) {
  out->d[half][row] = block.d;
  for (int v = 0; v < 2; ++v) {
    const uint32_t a = Word(block.qs, 2 * v);
    const uint32_t b = Word(block.qs, 2 * v + 1);
    OrQuad(out->q[half][v], row, (a & ref::kNibbles) | ((b & ref::kNibbles) << 4));
    OrQuad(out->q[half][v + 2], row, ((a >> 4) & ref::kNibbles) | (b & (ref::kNibbles << 4)));
  }
}

// ---- Whole groups ----

struct Rows {
  const std::byte* data;
  int n;
  size_t row_bytes;
  int64_t cols;

  template <typename Block>
  Block Get(int row, int64_t index) const {
    Block block;
    std::memcpy(&block, data + static_cast<size_t>(row) * row_bytes + static_cast<size_t>(index) * sizeof(Block),
                sizeof(Block));
    return block;
  }
};

template <typename Packed, typename Block>
void PackSuperBlocks(const Rows& rows, std::byte* out) {
  auto* blocks = reinterpret_cast<Packed*>(out);
  for (int64_t b = 0; b < rows.cols / 256; ++b) {
    std::memset(&blocks[b], 0, sizeof(Packed));
    for (int r = 0; r < rows.n; ++r) PackRow(rows.Get<Block>(r, b), r, &blocks[b]);
  }
}

template <typename Packed, typename Block>
void PackBlocks32(const Rows& rows, std::byte* out) {
  auto* blocks = reinterpret_cast<Packed*>(out);
  const int64_t n_blocks = rows.cols / 32;
  for (int64_t b = 0; b < n_blocks; ++b) {
    if (b % 2 == 0) std::memset(&blocks[b / 2], 0, sizeof(Packed));
    for (int r = 0; r < rows.n; ++r) PackRow(rows.Get<Block>(r, b), static_cast<int>(b % 2), r, &blocks[b / 2]);
  }
}

// f32, f16: columns one by one; bf16: in pairs.
template <typename Value, int kTogether>
void PackPlain(const Rows& rows, std::byte* out, size_t n_bytes) {
  std::memset(out, 0, n_bytes);
  for (int r = 0; r < rows.n; ++r) {
    for (int64_t c = 0; c < rows.cols; ++c) {
      const auto value = rows.Get<Value>(r, c);
      const int64_t at = (c / kTogether * kGroupRows + r) * kTogether + c % kTogether;
      std::memcpy(out + static_cast<size_t>(at) * sizeof(Value), &value, sizeof(Value));
    }
  }
}

template <typename Value, int kTogether>
void UnpackPlain(const std::byte* group, int row, int64_t cols, std::byte* out) {
  for (int64_t c = 0; c < cols; ++c) {
    const int64_t at = (c / kTogether * kGroupRows + row) * kTogether + c % kTogether;
    std::memcpy(out + static_cast<size_t>(c) * sizeof(Value), group + static_cast<size_t>(at) * sizeof(Value),
                sizeof(Value));
  }
}

template <typename Packed, typename Block>
void UnpackSuperBlocks(const std::byte* group, int row, int64_t cols, std::byte* out) {
  for (int64_t b = 0; b < cols / 256; ++b) {
    Block block;
    ref::UnpackBlock(reinterpret_cast<const Packed*>(group)[b], row, &block);
    std::memcpy(out + static_cast<size_t>(b) * sizeof(Block), &block, sizeof(Block));
  }
}

template <typename Packed, typename Block>
void UnpackBlocks32(const std::byte* group, int row, int64_t cols, std::byte* out) {
  for (int64_t b = 0; b < cols / 32; ++b) {
    Block block;
    ref::UnpackBlock(reinterpret_cast<const Packed*>(group)[b / 2], static_cast<int>(b % 2), row, &block);
    std::memcpy(out + static_cast<size_t>(b) * sizeof(Block), &block, sizeof(Block));
  }
}

template <typename Packed>
size_t BlocksBytes(int64_t cols) {
  return static_cast<size_t>((cols + Packed::kCols - 1) / Packed::kCols) * sizeof(Packed);
}

size_t PlainBytes(int64_t cols, int64_t together, size_t value_bytes) {
  const auto n = static_cast<size_t>((cols + together - 1) / together * together * kGroupRows);
  return (n * value_bytes + 63) / 64 * 64;
}

}  // namespace

bool CanPack(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8E4M3:
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4K:
    case DType::kQ5K:
    case DType::kQ6K:
      return true;
    default:
      return false;
  }
}

size_t PackedGroupBytes(DType type, int64_t cols) {
  QUERN_CHECK(CanPack(type) && cols >= 1 && cols % Info(type).block_elements == 0);
  switch (type) {
    case DType::kF32:
      return PlainBytes(cols, 1, 4);
    case DType::kF16:
      return PlainBytes(cols, 1, 2);
    case DType::kBF16:
      return PlainBytes(cols, 2, 2);
    case DType::kF8E4M3:
      return static_cast<size_t>(PackedF8HeaderBytes(cols)) + PlainBytes(cols, 1, 1);
    case DType::kQ8_0:
      return BlocksBytes<PackedQ8_0>(cols);
    case DType::kQ4_0:
      return BlocksBytes<PackedQ4_0>(cols);
    case DType::kQ4K:
      return BlocksBytes<PackedQ4K>(cols);
    case DType::kQ5K:
      return BlocksBytes<PackedQ5K>(cols);
    default:
      return BlocksBytes<PackedQ6K>(cols);
  }
}

size_t PackedBytes(DType type, int64_t rows, int64_t cols) {
  QUERN_CHECK(rows >= 0);
  return static_cast<size_t>((rows + kGroupRows - 1) / kGroupRows) * PackedGroupBytes(type, cols);
}

void PackGroup(DType type, const std::byte* data, int n_rows, size_t row_bytes, int64_t cols, std::byte* out) {
  QUERN_CHECK(n_rows >= 1 && n_rows <= kGroupRows && type != DType::kF8E4M3);
  const size_t n_bytes = PackedGroupBytes(type, cols);
  const Rows rows{data, n_rows, row_bytes, cols};
  switch (type) {
    case DType::kF32:
      return PackPlain<uint32_t, 1>(rows, out, n_bytes);
    case DType::kF16:
      return PackPlain<uint16_t, 1>(rows, out, n_bytes);
    case DType::kBF16:
      return PackPlain<uint16_t, 2>(rows, out, n_bytes);
    case DType::kQ8_0:
      return PackBlocks32<PackedQ8_0, BlockQ8_0>(rows, out);
    case DType::kQ4_0:
      return PackBlocks32<PackedQ4_0, BlockQ4_0>(rows, out);
    case DType::kQ4K:
      return PackSuperBlocks<PackedQ4K, BlockQ4K>(rows, out);
    case DType::kQ5K:
      return PackSuperBlocks<PackedQ5K, BlockQ5K>(rows, out);
    default:
      return PackSuperBlocks<PackedQ6K, BlockQ6K>(rows, out);
  }
}

void PackF8Group(const std::byte* rows, int n_rows, size_t row_bytes, int64_t cols, const float* scales,
                 std::byte* out) {
  QUERN_CHECK(n_rows >= 1 && n_rows <= kGroupRows);
  const auto header = static_cast<size_t>(PackedF8HeaderBytes(cols));
  std::memset(out, 0, header);
  std::memcpy(out, scales, static_cast<size_t>((cols + kF8Block - 1) / kF8Block) * sizeof(float));
  PackPlain<uint8_t, 1>({rows, n_rows, row_bytes, cols}, out + header, PlainBytes(cols, 1, 1));
}

void UnpackRow(DType type, const std::byte* group, int row, int64_t cols, std::byte* out) {
  QUERN_CHECK(CanPack(type) && row >= 0 && row < kGroupRows);
  switch (type) {
    case DType::kF32:
      return UnpackPlain<uint32_t, 1>(group, row, cols, out);
    case DType::kF16:
      return UnpackPlain<uint16_t, 1>(group, row, cols, out);
    case DType::kBF16:
      return UnpackPlain<uint16_t, 2>(group, row, cols, out);
    case DType::kF8E4M3:
      return UnpackPlain<uint8_t, 1>(group + PackedF8HeaderBytes(cols), row, cols, out);
    case DType::kQ8_0:
      return UnpackBlocks32<PackedQ8_0, BlockQ8_0>(group, row, cols, out);
    case DType::kQ4_0:
      return UnpackBlocks32<PackedQ4_0, BlockQ4_0>(group, row, cols, out);
    case DType::kQ4K:
      return UnpackSuperBlocks<PackedQ4K, BlockQ4K>(group, row, cols, out);
    case DType::kQ5K:
      return UnpackSuperBlocks<PackedQ5K, BlockQ5K>(group, row, cols, out);
    default:
      return UnpackSuperBlocks<PackedQ6K, BlockQ6K>(group, row, cols, out);
  }
}

}  // namespace quern::kernels
