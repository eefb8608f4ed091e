#include "kernels/delta_net.h"

#include <cmath>

#include "base/check.h"
#include "kernels/dispatch.h"

namespace quern::kernels {

void ConvSilu(const float* const* rows, int width, const float* w, int64_t n_channels, float* out) {
  QUERN_DCHECK(width >= 1 && width <= kMaxConvWidth);
  Kernels().conv_silu({.rows = rows, .width = width, .w = w, .n_channels = n_channels, .out = out});
}

void L2NormHeads(float* heads, int n_heads, int64_t n, float eps, float scale) {
  const KernelTable& kernels = Kernels();
  for (int h = 0; h < n_heads; ++h) kernels.l2_norm(heads + h * n, n, eps, scale);
}

void DeltaProducts(const DeltaProductsTile& tile) { Kernels().delta_products(tile); }

void DeltaChunk(const DeltaChunkTile& tile) { Kernels().delta_chunk(tile); }

void SigmoidMul(const float* x, const float* gate, int64_t n, float* out) { Kernels().sigmoid_mul(x, gate, n, out); }

float Sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

float Softplus(float x) { return x > 20.0F ? x : std::log1p(std::exp(x)); }

}  // namespace quern::kernels
