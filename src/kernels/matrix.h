// A weight matrix as kernels read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "tensor/dtype.h"

namespace quern::kernels {

// [rows, cols], row-major, rows = outputs. Computed with directly: f32, f16, bf16, q8_0, q4_0, q4_k, q5_k, q6_k; those
// borrow the given bytes. The other block types are converted once and the matrix owns the result:
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
  // kernels, e.g. f8_e4m3 or integers; mxfp4 scales out of range).
  static Result<Matrix> Prepare(DType type, int64_t rows, int64_t cols, std::span<const std::byte> data);

  DType type() const { return type_; }                // what kernels compute with
  DType stored_type() const { return stored_type_; }  // what the file held
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  size_t row_bytes() const { return row_bytes_; }
  const std::byte* row(int64_t r) const { return data_ + static_cast<size_t>(r) * row_bytes_; }

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
};

}  // namespace quern::kernels
