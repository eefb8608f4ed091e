#include "kernels/matrix.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "kernels/dequantize.h"
#include "kernels/ref/blocks_ref.h"
#include "kernels/tile.h"
#include "kernels/unpack.h"

namespace quern::kernels {
namespace {

// Larger than any layer known; keeps every size below 2^62.
constexpr int64_t kMaxSide = int64_t{1} << 26;
// 256 times a sum of products with it is still a number.
constexpr float kMaxF8Scale = 0x1p96F;

uint16_t Load16(const std::byte* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

void StoreQ8(const BlockQ8_0& block, std::byte* out) { std::memcpy(out, &block, sizeof(block)); }

template <typename Value>
void FillNibbles(const std::byte* qs, BlockQ8_0* block, Value value) {
  for (int j = 0; j < 16; ++j) {
    const int byte = static_cast<int>(qs[j]);
    block->q[j] = static_cast<int8_t>(value(j, byte & 15));
    block->q[j + 16] = static_cast<int8_t>(value(j + 16, byte >> 4));
  }
}

void FromQ5_0(const std::byte* p, std::byte* out) {
  BlockQ8_0 block;
  block.d = Load16(p);
  FillNibbles(p + 6, &block, [&](int j, int q) {
    const int fifth = (static_cast<int>(p[2 + j / 8]) >> (j % 8)) & 1;
    return (q | (fifth << 4)) - 16;
  });
  StoreQ8(block, out);
}

void FromIQ4NL(const std::byte* p, std::byte* out) {
  BlockQ8_0 block;
  block.d = Load16(p);
  FillNibbles(p + 2, &block, [](int, int q) { return kIQ4Values[q]; });
  StoreQ8(block, out);
}

void FromIQ4XS(const std::byte* p, std::byte* out) {
  const float d = F16ToF32(Load16(p));
  for (int b = 0; b < 8; ++b) {
    BlockQ8_0 block;
    block.d = F32ToF16(d * static_cast<float>(Iq4XsScale(p, b)));
    FillNibbles(p + 8 + 16 * b, &block, [](int, int q) { return kIQ4Values[q]; });
    StoreQ8(block, out + b * sizeof(BlockQ8_0));
  }
}

// Scales 2^k with k in [-24, 15] are f16 numbers; up to 2^18 the values (at most 12) take the factor instead.
constexpr int kMxfp4MaxExponent = 128 + 18;

void FromMXFP4(const std::byte* p, std::byte* out) {
  const int exponent = static_cast<int>(p[0]) - 128;
  const int stored = exponent < -24 ? -24 : exponent > 15 ? 15 : exponent;
  BlockQ8_0 block;
  block.d = F32ToF16(std::ldexp(1.0F, stored));
  FillNibbles(p + 1, &block, [&](int, int q) {
    return static_cast<int>(std::nearbyint(std::ldexp(static_cast<float>(kMxfp4Values[q]), exponent - stored)));
  });
  StoreQ8(block, out);
}

void FromQ3K(const std::byte* p, std::byte* out) {
  BlockQ6K block{};
  block.d = Load16(p + 108);
  for (int k = 0; k < 16; ++k) block.scales[k] = static_cast<int8_t>(Q3KScale(p, k));
  for (int e = 0; e < 256; ++e) {
    const int q = Q3KQuant(p, e) + 32;
    const int half = e / 128;
    const int quarter = (e % 128) / 32;
    const int l = e % 32;
    block.ql[64 * half + l + 32 * (quarter & 1)] |= static_cast<uint8_t>((q & 15) << (quarter < 2 ? 0 : 4));
    block.qh[32 * half + l] |= static_cast<uint8_t>((q >> 4) << (2 * quarter));
  }
  std::memcpy(out, &block, sizeof(block));
}

using ConvertFn = void (*)(const std::byte* block, std::byte* out);

ConvertFn BlockConversion(DType stored) {
  switch (stored) {
    case DType::kQ5_0:
      return FromQ5_0;
    case DType::kIQ4NL:
      return FromIQ4NL;
    case DType::kIQ4XS:
      return FromIQ4XS;
    case DType::kMXFP4:
      return FromMXFP4;
    case DType::kQ3K:
      return FromQ3K;
    default:
      return nullptr;
  }
}

void ConvertRowToF16(DType stored, const std::byte* row, int64_t cols, std::byte* out) {
  std::vector<float> values(static_cast<size_t>(cols));
  DequantizeRow(stored, row, cols, values.data());
  for (int64_t c = 0; c < cols; ++c) {
    const uint16_t half = F32ToF16(values[static_cast<size_t>(c)]);
    std::memcpy(out + 2 * c, &half, sizeof(half));
  }
}

void ConvertRow(DType stored, DType type, const std::byte* row, int64_t cols, std::byte* out) {
  const ConvertFn fn = BlockConversion(stored);
  if (fn == nullptr) return ConvertRowToF16(stored, row, cols, out);
  const auto n_blocks = static_cast<size_t>(cols / Info(stored).block_elements);
  const auto in_block = static_cast<size_t>(Info(stored).block_bytes);
  const size_t out_block = RowBytes(type, cols) / n_blocks;
  for (size_t b = 0; b < n_blocks; ++b) fn(row + b * in_block, out + b * out_block);
}

// Group g of a matrix in the file's layout.
void PackGroupOf(const Matrix& m, std::span<const std::byte> data, int64_t g, std::byte* out) {
  const size_t row_bytes = RowBytes(m.stored_type(), m.cols());
  const int64_t first = g * kGroupRows;
  const int n = static_cast<int>(std::min<int64_t>(kGroupRows, m.rows() - first));
  const std::byte* rows = data.data() + static_cast<size_t>(first) * row_bytes;
  if (m.type() == m.stored_type()) return PackGroup(m.type(), rows, n, row_bytes, m.cols(), out);
  const size_t out_row = RowBytes(m.type(), m.cols());
  std::vector<std::byte> converted(static_cast<size_t>(n) * out_row);
  for (size_t r = 0; r < static_cast<size_t>(n); ++r) {
    ConvertRow(m.stored_type(), m.type(), rows + r * row_bytes, m.cols(), converted.data() + r * out_row);
  }
  PackGroup(m.type(), converted.data(), n, out_row, m.cols(), out);
}

Result<void> CheckMxfp4(std::span<const std::byte> data) {
  for (size_t at = 0; at < data.size(); at += 17) {
    const int e = static_cast<int>(data[at]);
    if (e > kMxfp4MaxExponent) {
      return Error(Code::kUnsupported,
                   fmt::format("mxfp4 matrix: the block at byte {} has scale exponent {}, the largest "
                               "supported is {}",
                               at, e, kMxfp4MaxExponent));
    }
  }
  return {};
}

Result<void> CheckShape(DType type, int64_t rows, int64_t cols) {
  const DTypeInfo& info = Info(type);
  if (ComputeType(type) == DType::kBool) {
    return Error(Code::kUnsupported, fmt::format("matrix of type {}: there are no kernels for it", info.name));
  }
  if (rows < 1 || cols < 1 || rows > kMaxSide || cols > kMaxSide) {
    return Error(Code::kInvalidArgument,
                 fmt::format("matrix of {} x {}: both sides must lie in 1..{}", rows, cols, kMaxSide));
  }
  if (cols % info.block_elements != 0) {
    return Error(Code::kInvalidArgument, fmt::format("{} matrix with rows of {}: a row must be a multiple of {}",
                                                     info.name, cols, info.block_elements));
  }
  return {};
}

Result<void> CheckSize(DType type, int64_t rows, int64_t cols, size_t expected, size_t given) {
  if (given == expected) return {};
  return Error(Code::kInvalidArgument, fmt::format("{} matrix of {} x {}: {} bytes expected, {} given", Info(type).name,
                                                   rows, cols, expected, given));
}

Result<void> CheckF8Scales(int64_t rows, int64_t cols, std::span<const float> scales) {
  const int64_t stride = Matrix::F8Blocks(cols);
  if (scales.size() != static_cast<size_t>(Matrix::F8Blocks(rows) * stride)) {
    return Error(Code::kInvalidArgument, fmt::format("f8_e4m3 matrix of {} x {}: {} scales expected, {} given", rows,
                                                     cols, Matrix::F8Blocks(rows) * stride, scales.size()));
  }
  for (size_t i = 0; i < scales.size(); ++i) {
    if (std::fabs(scales[i]) <= kMaxF8Scale) continue;
    const auto at = static_cast<int64_t>(i);
    return Error(Code::kInvalidArgument,
                 fmt::format("f8_e4m3 matrix of {} x {}: the scale of block [{}, {}] is {}, expected a number of at "
                             "most 2^96",
                             rows, cols, at / stride, at % stride, scales[i]));
  }
  return {};
}

}  // namespace

Result<Matrix> Matrix::WithShape(DType type, int64_t rows, int64_t cols) {
  QUERN_TRY(CheckShape(type, rows, cols));
  Matrix m;
  m.type_ = ComputeType(type);
  m.stored_type_ = type;
  m.rows_ = rows;
  m.cols_ = cols;
  m.group_bytes_ = PackedGroupBytes(m.type_, cols);
  return m;
}

DType ComputeType(DType stored) {
  if (CanPack(stored)) return stored;
  switch (stored) {
    case DType::kQ5_0:
    case DType::kIQ4NL:
    case DType::kIQ4XS:
    case DType::kMXFP4:
      return DType::kQ8_0;
    case DType::kQ3K:
      return DType::kQ6K;
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ2K:
      return DType::kF16;
    default:
      return DType::kBool;
  }
}

size_t Matrix::BytesWhenPacked(DType stored, int64_t rows, int64_t cols) {
  return CheckShape(stored, rows, cols) ? PackedBytes(ComputeType(stored), rows, cols) : 0;
}

Result<void> Matrix::PackAll(const PackOptions& options, const std::function<void(int64_t g, std::byte* out)>& pack) {
  const size_t n_bytes = PackedBytes(type_, rows_, cols_);
  PackedArena own(n_bytes);
  PackedArena& arena = options.arena == nullptr ? own : *options.arena;
  QUERN_ASSIGN(PackedArena::Room room, arena.Allocate(n_bytes));
  data_ = room.data;
  owner_ = std::move(room.owner);
  const auto run = [&](size_t g, int) { pack(static_cast<int64_t>(g), room.data + g * group_bytes_); };
  const auto n = static_cast<size_t>(n_groups());
  if (options.pool != nullptr) {
    options.pool->ParallelFor(n, run);
  } else {
    for (size_t g = 0; g < n; ++g) run(g, 0);
  }
  return {};
}

Result<Matrix> Matrix::Prepare(DType type, int64_t rows, int64_t cols, std::span<const std::byte> data,
                               const PackOptions& options) {
  if (type == DType::kF8E4M3) return Error(Code::kUnsupported, "matrix of type f8_e4m3 without scales");
  QUERN_ASSIGN(Matrix m, WithShape(type, rows, cols));
  QUERN_TRY(CheckSize(type, rows, cols, static_cast<size_t>(rows) * RowBytes(type, cols), data.size()));
  if (type == DType::kMXFP4) QUERN_TRY(CheckMxfp4(data));
  QUERN_TRY(m.PackAll(options, [&](int64_t g, std::byte* out) { PackGroupOf(m, data, g, out); }));
  return m;
}

Result<Matrix> Matrix::PrepareF8(int64_t rows, int64_t cols, std::span<const std::byte> data,
                                 std::span<const float> scales, const PackOptions& options) {
  QUERN_ASSIGN(Matrix m, WithShape(DType::kF8E4M3, rows, cols));
  QUERN_TRY(CheckSize(DType::kF8E4M3, rows, cols, static_cast<size_t>(rows * cols), data.size()));
  QUERN_TRY(CheckF8Scales(rows, cols, scales));
  QUERN_TRY(m.PackAll(options, [&](int64_t g, std::byte* out) {
    const int64_t first = g * kGroupRows;
    const int n = static_cast<int>(std::min<int64_t>(kGroupRows, rows - first));
    PackF8Group(data.data() + first * cols, n, static_cast<size_t>(cols), cols,
                scales.data() + first / kF8Block * F8Blocks(cols), out);
  }));
  return m;
}

Result<Matrix> Matrix::FromPacked(DType type, int64_t rows, int64_t cols, std::span<const std::byte> packed,
                                  std::shared_ptr<const void> owner) {
  QUERN_ASSIGN(Matrix m, WithShape(type, rows, cols));
  QUERN_TRY(CheckSize(type, rows, cols, PackedBytes(m.type_, rows, cols), packed.size()));
  if (reinterpret_cast<uintptr_t>(packed.data()) % 64 != 0) {
    return Error(Code::kInvalidArgument, "packed matrix: expected bytes at a multiple of 64");
  }
  m.data_ = packed.data();
  m.owner_ = std::move(owner);
  return m;
}

void Matrix::ReadRow(int64_t r, float* out) const {
  QUERN_CHECK(r >= 0 && r < rows_);
  std::vector<std::byte> row(RowBytes(type_, cols_));
  UnpackRow(type_, group(r / kGroupRows), static_cast<int>(r % kGroupRows), cols_, row.data());
  if (type_ == DType::kF8E4M3) {
    return DequantizeF8Row(row.data(), reinterpret_cast<const float*>(group(r / kGroupRows)), cols_, out);
  }
  DequantizeRow(type_, row.data(), cols_, out);
}

Matrix Matrix::Slice(int64_t first, int64_t n) const {
  QUERN_CHECK(first >= 0 && n >= 0 && first <= rows_ && n <= rows_ - first && first % kGroupRows == 0);
  Matrix m = *this;
  m.data_ = group(first / kGroupRows);
  m.rows_ = n;
  return m;
}

}  // namespace quern::kernels
