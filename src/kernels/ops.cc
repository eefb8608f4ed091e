#include "kernels/ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/dispatch.h"

namespace quern::kernels {
namespace {

template <typename Body>
void ForRows(int64_t n_rows, int64_t n, ThreadPool& pool, const Body& body) {
  if (n_rows * n < kParallelElements) {
    for (int64_t r = 0; r < n_rows; ++r) body(r);
    return;
  }
  pool.ParallelFor(static_cast<size_t>(n_rows), [&](size_t r, int) { body(static_cast<int64_t>(r)); });
}

}  // namespace

void RmsNorm(const RowsIn& x, std::span<const float> w, float eps, const RowsOut& y, ThreadPool& pool) {
  const KernelTable& kernels = Kernels();
  const auto n = static_cast<int64_t>(w.size());
  ForRows(x.n_rows, n, pool,
          [&](int64_t r) { kernels.rms_norm(x.data + r * x.stride, w.data(), n, eps, y.data + r * y.stride); });
}

void RmsNormHeads(float* heads, int n_heads, std::span<const float> w, float eps) {
  const KernelTable& kernels = Kernels();
  const auto n = static_cast<int64_t>(w.size());
  for (int h = 0; h < n_heads; ++h) kernels.rms_norm(heads + h * n, w.data(), n, eps, heads + h * n);
}

void Rope(float* heads, int n_heads, int head_dim, std::span<const float> cos, std::span<const float> sin) {
  const auto half = static_cast<ptrdiff_t>(cos.size());
  QUERN_CHECK(sin.size() == cos.size() && 2 * half <= head_dim);
  for (int h = 0; h < n_heads; ++h) {
    float* v = heads + static_cast<ptrdiff_t>(h) * head_dim;
    for (ptrdiff_t i = 0; i < half; ++i) {
      const float a = v[i];
      const float b = v[i + half];
      const auto k = static_cast<size_t>(i);
      v[i] = a * cos[k] - b * sin[k];
      v[i + half] = b * cos[k] + a * sin[k];
    }
  }
}

void SiluMul(const float* gate, const float* up, int64_t n, float* out) { Kernels().silu_mul(gate, up, n, out); }

void SiluMulRows(const RowsIn& gate, const RowsIn& up, int64_t n, const RowsOut& out, ThreadPool& pool) {
  QUERN_CHECK(gate.n_rows == up.n_rows);
  const KernelTable& kernels = Kernels();
  ForRows(gate.n_rows, n, pool, [&](int64_t r) {
    kernels.silu_mul(gate.data + r * gate.stride, up.data + r * up.stride, n, out.data + r * out.stride);
  });
}

void Add(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

void AddScaled(const float* x, float a, int64_t n, float* y) { Kernels().add_scaled(x, a, n, y); }

void Softmax(std::span<float> x) {
  float max = -INFINITY;
  for (const float v : x) max = std::fmax(max, v);
  float sum = 0;
  for (float& v : x) {
    v = std::exp(v - max);
    sum += v;
  }
  for (float& v : x) v /= sum;
}

void SelectExperts(std::span<const float> logits, bool normalise, std::span<RoutedExpert> out) {
  QUERN_CHECK(!out.empty() && out.size() <= logits.size());
  float max = -INFINITY;
  for (const float v : logits) max = std::fmax(max, v);
  float sum = 0;
  for (const float v : logits) sum += std::exp(v - max);
  // Insertion into a short sorted list; exp is monotonic, so logits decide the order.
  size_t n = 0;
  for (size_t e = 0; e < logits.size(); ++e) {
    const float v = std::isnan(logits[e]) ? -INFINITY : logits[e];
    if (n == out.size() && !(v > out[n - 1].weight)) continue;
    size_t at = n < out.size() ? n++ : n - 1;
    for (; at > 0 && v > out[at - 1].weight; --at) out[at] = out[at - 1];
    out[at] = {static_cast<int32_t>(e), v};
  }
  float chosen = 0;
  for (RoutedExpert& r : out) {
    r.weight = std::exp(r.weight - max) / sum;
    chosen += r.weight;
  }
  if (!normalise) return;
  for (RoutedExpert& r : out) r.weight /= chosen;
}

int64_t ArgMax(std::span<const float> x) {
  QUERN_CHECK(!x.empty());
  size_t best = 0;
  float largest = -INFINITY;
  bool found = false;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] > largest || (!found && !std::isnan(x[i]))) {
      largest = x[i];
      best = i;
      found = true;
    }
  }
  return static_cast<int64_t>(best);
}

}  // namespace quern::kernels
