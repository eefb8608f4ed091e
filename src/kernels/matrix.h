// A weight matrix as kernels read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/tile.h"
#include "tensor/dtype.h"

namespace quern::kernels {

// [rows, cols], row-major, rows = outputs. Computed with directly: f32, f16, bf16, f8_e4m3 (with scales of its own, see
// PrepareF8), q8_0, q4_0, q4_k, q5_k, q6_k; those borrow the given bytes. The other block types are converted once and
// the matrix owns the result:
//   q5_0, iq4_nl -> q8_0  same scale, exact
//   mxfp4        -> q8_0  exact for block scales of 2^-24 .. 2^18; below, values lose what is under 2^-25; above:
//   refused q3_k         -> q6_k  same scales, exact iq4_xs       -> q8_0  the product of its two scales is rounded to
//   f16: each weight within 2^-11 of itself q4_1, q5_1, q2_k -> f16  each weight within 2^-11 of itself (2^-25 absolute
//   near zero)
// Copyable (copies share the converted bytes). Thread-safe after Prepare.
class Matrix {
 public:
  Matrix() = default;  // empty: rows() == 0

  // data: exactly rows * RowBytes(type, cols) bytes that outlive the matrix and its copies; any alignment.
  // Errors: kInvalidArgument (shape or size does not fit the type; the message has both), kUnsupported (a type without
  // kernels, e.g. integers, or f8_e4m3, which comes with scales; mxfp4 scales out of range).
  static Result<Matrix> Prepare(DType type, int64_t rows, int64_t cols, std::span<const std::byte> data);

  // f8_e4m3 with a factor for each block of 128 x 128, cut off at the edges: element [r, c] is data[r, c] *
  // scales[r / 128, c / 128]. data as above; scales: [F8Blocks(rows), F8Blocks(cols)], kept.
  // Errors: kInvalidArgument (sizes; a scale that is not finite or beyond 2^96 in magnitude: the message names it).
  static Result<Matrix> PrepareF8(int64_t rows, int64_t cols, std::span<const std::byte> data,
                                  std::vector<float> scales);
  static int64_t F8Blocks(int64_t n) { return (n + kF8Block - 1) / kF8Block; }

  DType type() const { return type_; }                // what kernels compute with
  DType stored_type() const { return stored_type_; }  // what the file held
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  size_t row_bytes() const { return row_bytes_; }
  const std::byte* row(int64_t r) const { return data_ + static_cast<size_t>(r) * row_bytes_; }

  // Of f8_e4m3: the scales, how many a row of blocks has, and the row of blocks' matrix that row 0 of this slice is.
  const float* scales() const { return scales_ == nullptr ? nullptr : scales_->data(); }
  int64_t scale_stride() const { return F8Blocks(cols_); }
  int64_t first_row() const { return first_row_; }

  // Bytes this matrix owns because it was converted; 0 when it borrows.
  size_t owned_bytes() const { return owned_ ? static_cast<size_t>(rows_) * row_bytes_ : 0; }

  // Rows [first, first + n) of this matrix, sharing its bytes; e.g. one expert of a stack, or gate of gate_up.
  Matrix Slice(int64_t first, int64_t n) const;

 private:
  DType type_ = DType::kF32;
  DType stored_type_ = DType::kF32;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  size_t row_bytes_ = 0;
  const std::byte* data_ = nullptr;
  std::shared_ptr<std::byte[]> owned_;
  std::shared_ptr<const std::vector<float>> scales_;
  int64_t first_row_ = 0;
};

}  // namespace quern::kernels
