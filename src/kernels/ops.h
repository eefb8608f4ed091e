// Everything in a forward pass that is neither a matrix product nor attention. Functions on one row run on the calling
// thread; functions that take a ThreadPool split rows. f32 throughout. A row's result never depends on other rows.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernels/matmul.h"

namespace quern::kernels {

// Rows with fewer elements in total stay on the calling thread: some 10 us of work, what waking a thread costs.
inline constexpr int64_t kParallelElements = 32 * 1024;

// y = w * (x / sqrt(mean(x^2) + eps)) per row; w: [n]. y may be x. For zero-centred norms pass 1 + w.
void RmsNorm(const RowsIn& x, std::span<const float> w, float eps, const RowsOut& y, ThreadPool& pool);

// The same on each head of one row, in place: heads [n_heads, w.size()], contiguous (q and k norms).
void RmsNormHeads(float* heads, int n_heads, std::span<const float> w, float eps);

// Rotary embedding in the halves form, in place, on one row: heads [n_heads, head_dim] contiguous; cos, sin: [r / 2]
// for this position, r even and at most head_dim. (a, b) = (v[i], v[i + r/2]) becomes (a cos - b sin, b cos + a sin);
// elements from r on stay.
void Rope(float* heads, int n_heads, int head_dim, std::span<const float> cos, std::span<const float> sin);

// out = silu(gate) * up over n elements; out may be gate or up.
void SiluMul(const float* gate, const float* up, int64_t n, float* out);

// out = silu(gate) * up for rows [n_rows, n]; up and out as gate.
void SiluMulRows(const RowsIn& gate, const RowsIn& up, int64_t n, const RowsOut& out, ThreadPool& pool);

// y += x, y += a * x, over n elements.
void Add(const float* x, int64_t n, float* y);
void AddScaled(const float* x, float a, int64_t n, float* y);

// softmax in place over x (max subtracted, summed in order).
void Softmax(std::span<float> x);

struct RoutedExpert {
  int32_t expert;
  float weight;
};

// Router choice of one token: p = softmax(logits) over all experts, the out.size() largest p in falling order (ties:
// lower index first), divided by their sum when normalise. out.size() <= logits.size(). NaN logits rank last.
void SelectExperts(std::span<const float> logits, bool normalise, std::span<RoutedExpert> out);

// Index of the largest value; ties: the lowest index; NaN never wins (all NaN: 0). x not empty.
int64_t ArgMax(std::span<const float> x);

}  // namespace quern::kernels
