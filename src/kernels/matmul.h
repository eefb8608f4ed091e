// y = x * W^T (+ bias) for a few or many rows, with weights of any type that Matrix computes with.
//
// Arithmetic: f32, f16 and f8_e4m3 weights: f32 products and sums, f8_e4m3 scaled once per block of 128 inputs. bf16
// weights: f32 sums; on CPUs with AVX-512-BF16 activations are rounded to bf16 first. q8_0, q4_0: activations become
// int8 with a scale per 32; q4_k, q5_k, q6_k: int8 with a scale per 256; integer dot products, f32 sums over blocks.
//
// Promise: a row of y is bit-identical for every number of rows computed with it, every way of grouping jobs and every
// number of threads. For quantised weights every level of KernelTable gives the same bits; for the others levels may
// differ in the last ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "kernels/matrix.h"

namespace quern::kernels {

// [n_rows, cols] f32; row r starts at data + r * stride.
struct RowsIn {
  const float* data = nullptr;
  int64_t n_rows = 0;
  int64_t stride = 0;
};
struct RowsOut {
  float* data = nullptr;
  int64_t stride = 0;
};

struct MatMulJob {
  const Matrix* weights = nullptr;  // [n_out, cols]
  RowsIn x;                         // [n_rows, cols]
  RowsOut y;                        // [n_rows, n_out], or [gather.size(), n_out]; overwritten; must not overlap any x
  const float* bias = nullptr;      // [n_out] or null
  std::span<const int32_t>
      gather;  // when not empty: y row i comes from x row gather[i] (the routed tokens of an expert)
};

// Sees a job before it is computed, on the caller's thread; for statistics of activations.
using MatMulObserver = std::function<void(const MatMulJob&)>;

// Room for prepared activations; grows, is reused. One caller at a time.
class MatMulScratch {
 public:
  MatMulScratch();
  ~MatMulScratch();
  MatMulScratch(MatMulScratch&&) noexcept;
  MatMulScratch& operator=(MatMulScratch&&) noexcept;

  // Of all later products with this scratch; empty: none.
  void SetObserver(MatMulObserver observer);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// All jobs in one parallel loop. Jobs with the same x (q, k, v; gate, up; the experts of a layer) prepare its rows
// once. Shapes are checked (QUERN_CHECK): they are our own, never from outside.
void MatMul(std::span<const MatMulJob> jobs, MatMulScratch& scratch, ThreadPool& pool);
void MatMul(const MatMulJob& job, MatMulScratch& scratch, ThreadPool& pool);

}  // namespace quern::kernels
