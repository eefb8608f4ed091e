// One Forward call in progress: which row belongs to which sequence, and where everything lies.
#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/kv_pool.h"

namespace quern::model {

// Rows of a batch stand in the order of the segments and, inside one, of positions.
struct ForwardContext {
  const ModelConfig& config;
  std::span<const BatchRow> rows;
  ActivationsBody& act;
  ThreadPool& pool;
  float* x;          // [n_rows, d_model] residual stream, in act.x
  const float* cos;  // [n_rows, n_rope_pairs], in act.cos
  const float* sin;
  int n_rope_pairs;
  // In the last layer, when nobody asks for the results of the other rows: those that somebody asks for, ascending.
  // Else null.
  const std::vector<int32_t>* wanted = nullptr;

  int n_rows() const { return static_cast<int>(rows.size()); }
  kernels::RowsIn In(const float* data, int64_t width) const { return {data, n_rows(), width}; }

  // Forgets the other rows; the wanted ones close up in rows and x (not in cos and sin).
  void KeepWanted() {
    const auto d_model = static_cast<size_t>(config.d_model);
    for (size_t i = 0; i < wanted->size(); ++i) {
      const auto from = static_cast<size_t>((*wanted)[i]);
      act.rows[i] = act.rows[from];
      if (from != i) std::memcpy(x + i * d_model, x + from * d_model, d_model * sizeof(float));
    }
    rows = std::span(act.rows).first(wanted->size());
    wanted = nullptr;
  }

  // body(row) for all rows, on several threads when rows of this many elements make that worthwhile.
  template <typename Body>
  void ForRows(int64_t n_elements, const Body& body) const {
    if (n_rows() * n_elements < kernels::kParallelElements) {
      for (int row = 0; row < n_rows(); ++row) body(int64_t{row});
      return;
    }
    pool.ParallelFor(rows.size(), [&](size_t row, int) { body(static_cast<int64_t>(row)); });
  }

  // x += out, [n_rows, d_model].
  void AddToX(const float* out) const {
    const int64_t width = config.d_model;
    ForRows(width, [&](int64_t row) { kernels::Add(out + row * width, width, x + row * width); });
  }
};

}  // namespace quern::model
