// f32 rows to the stored types: the inverse of kernels/dequantize.h, used when a checkpoint is written, never while one
// runs.
//
// Block types are fitted by weighted least squares: the scale (and minimum) of a block is the one that makes
//   sum over i of w_i * (x_i - dequantised_i)^2
// smallest among some twenty roundings of the block to integers. When activations are uncorrelated that sum with w_i =
// E[a_i^2] (the importance of column i, see model/importance.h) is the expected squared error of the product; without
// importance all w_i are 1.
//
// A row's bytes depend on that row and its importance alone, and on nothing about the machine: no fused multiply-add,
// no vector width, no thread count enters.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace quern::kernels {

// True for f32, f16, bf16, q8_0, q4_0, q5_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl.
bool CanQuantize(DType type);

// The largest |x| that a type's rows may hold: what its f16 fields can express, with room for the fit.
float LargestQuantizable(DType type);

// out: RowBytes(type, n_elements) bytes. x: [n_elements] finite, |x| <= LargestQuantizable(type). importance:
// [n_elements], finite and >= 0, or null. n_elements a multiple of the type's block, CanQuantize(type) (checked).
// Thread-safe.
//
// Error of one element, with a the largest |x| of its block of 32: q8_0 a / 250, q5_0 a / 8, q4_0 and iq4_nl a / 4.
// Root mean square of the error of normally distributed values, as a part of theirs: q8_0 0.0057, q6_k 0.0175, q5_k
// 0.0355, q5_0 0.042, q4_k 0.071, iq4_nl 0.08, q4_0 0.088, q3_k 0.16, q2_k 0.265. quantize_test.cc holds the code to
// these.
void QuantizeRow(DType type, const float* x, int64_t n_elements, const float* importance, std::byte* out);

}  // namespace quern::kernels
