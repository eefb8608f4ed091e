// How fast this program's kernels are on the machine at hand: what predictions rest on, and `quern bench kernels`.
// Everything is read from memory, as a model's weights, keys and values are, and figures are medians. On an otherwise
// idle machine; one caller at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/os/large_memory.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/matrix.h"

namespace quern::kernels {

// Products with a weight matrix [rows, cols] of random weights, copies of which are used in turn.
class MatrixTimer {
 public:
  // type: one that kernels compute with (ComputeType). Takes 512 MiB. Errors: kExhausted.
  static Result<MatrixTimer> Create(DType type, int64_t rows, int64_t cols);

  double matrix_bytes() const { return static_cast<double>(copies_.front().packed().size()); }

  // Seconds of one product with n_rows rows of activations.
  double Seconds(int n_rows, int n_repeats, ThreadPool& pool);

 private:
  MatrixTimer(std::shared_ptr<os::LargeMemory> memory, std::vector<Matrix> copies)
      : memory_(std::move(memory)), copies_(std::move(copies)) {}

  std::shared_ptr<os::LargeMemory> memory_;
  std::vector<Matrix> copies_;  // in memory_
  MatMulScratch scratch_;
  size_t next_ = 0;
};

// What a product with n_rows rows costs per weight of the matrix.
struct RowCost {
  double n_rows;
  double seconds;
};

// From 1 row to 512, or to where one product takes so long that more rows cost in proportion. Errors: kExhausted.
Result<std::vector<RowCost>> MeasureRowCosts(DType type, ThreadPool& pool);

// Attention over one sequence of 8192 tokens, per query row and token that it sees.
struct PairCost {
  double one_row = 0;    // seconds, of a row alone: generating
  double many_rows = 0;  // of one among 256: reading a prompt
};

// Takes 512 MiB. Errors: kExhausted.
Result<PairCost> MeasurePairCost(const KvLayout& layout, int n_heads, ThreadPool& pool);

}  // namespace quern::kernels
