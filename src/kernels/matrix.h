// A weight matrix as kernels read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/packed_arena.h"
#include "kernels/packing.h"
#include "tensor/dtype.h"

namespace quern::kernels {

// What kernels compute with for a stored type; kBool: for this one nothing.
DType ComputeType(DType stored);

struct PackOptions {
  PackedArena* arena = nullptr;  // null: the matrix has memory of its own
  ThreadPool* pool = nullptr;    // null: the calling thread packs
};

// [rows, cols], rows = outputs, in the packed form of packed_block.h. Computed with directly: f32, f16, bf16,
// f8_e4m3 (with scales of its own, see PrepareF8), q8_0, q4_0, q4_k, q5_k, q6_k. The other block types are converted
// first:
//   q5_0, iq4_nl -> q8_0  same scale, exact
//   mxfp4        -> q8_0  exact for block scales of 2^-24 .. 2^18; below, values lose what is under 2^-25; above:
//                         refused
//   q3_k         -> q6_k  same scales, exact
//   iq4_xs       -> q8_0  the product of its two scales is rounded to f16: each weight within 2^-11 of itself
//   q4_1, q5_1, q2_k -> f16  each weight within 2^-11 of itself (2^-25 absolute near zero)
// Copyable (copies share the packed bytes). Thread-safe once made.
class Matrix {
 public:
  Matrix() = default;  // empty: rows() == 0

  // What a matrix of a stored type will take; 0 for one that cannot be packed (Prepare says why).
  static size_t BytesWhenPacked(DType stored, int64_t rows, int64_t cols);

  // Packs data: exactly rows * RowBytes(type, cols) bytes, any alignment; not needed afterwards.
  // Errors: kInvalidArgument (shape or size does not fit the type; the message has both), kUnsupported (a type without
  // kernels, e.g. integers, or f8_e4m3, which comes with scales; mxfp4 scales out of range), kExhausted (no memory).
  static Result<Matrix> Prepare(DType type, int64_t rows, int64_t cols, std::span<const std::byte> data,
                                const PackOptions& options = {});

  // f8_e4m3 with a factor for each block of 128 x 128, cut off at the edges: element [r, c] is data[r, c] *
  // scales[r / 128, c / 128]. data as above; scales: [F8Blocks(rows), F8Blocks(cols)], not needed afterwards.
  // Errors: kInvalidArgument (sizes; a scale that is not finite or beyond 2^96 in magnitude: the message names it),
  // kExhausted.
  static Result<Matrix> PrepareF8(int64_t rows, int64_t cols, std::span<const std::byte> data,
                                  std::span<const float> scales, const PackOptions& options = {});
  static int64_t F8Blocks(int64_t n) { return (n + kF8Block - 1) / kF8Block; }

  // A matrix whose packed() bytes were kept: same arguments, same bytes, 64-byte aligned; they outlive the matrix and
  // its copies, or owner keeps them alive. Errors: kInvalidArgument (shape, size or alignment), kUnsupported (type).
  static Result<Matrix> FromPacked(DType type, int64_t rows, int64_t cols, std::span<const std::byte> packed,
                                   std::shared_ptr<const void> owner = nullptr);

  DType type() const { return type_; }                // what kernels compute with
  DType stored_type() const { return stored_type_; }  // what the file held
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  // Groups of kGroupRows rows; the last may be filled up with zeros.
  int64_t n_groups() const { return (rows_ + kGroupRows - 1) / kGroupRows; }
  size_t group_bytes() const { return group_bytes_; }
  const std::byte* group(int64_t g) const { return data_ + static_cast<size_t>(g) * group_bytes_; }
  std::span<const std::byte> packed() const { return {data_, static_cast<size_t>(n_groups()) * group_bytes_}; }

  // Row r as f32. out: [cols].
  void ReadRow(int64_t r, float* out) const;

  // Rows [first, first + n) of this matrix, sharing its bytes; first is a multiple of kGroupRows.
  Matrix Slice(int64_t first, int64_t n) const;

 private:
  static Result<Matrix> WithShape(DType type, int64_t rows, int64_t cols);
  // Takes memory and fills it by pack(g, out), for all groups.
  Result<void> PackAll(const PackOptions& options, const std::function<void(int64_t g, std::byte* out)>& pack);

  DType type_ = DType::kF32;
  DType stored_type_ = DType::kF32;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  size_t group_bytes_ = 0;
  const std::byte* data_ = nullptr;
  std::shared_ptr<const void> owner_;
};

}  // namespace quern::kernels
