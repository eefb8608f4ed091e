#include <cmath>

#include "kernels/ref/ref.h"

namespace quern::kernels::ref {

void ConvSilu(const ConvTile& tile) {
  for (int64_t c = 0; c < tile.n_channels; ++c) {
    float sum = 0;
    for (int i = 0; i < tile.width; ++i) sum += tile.w[i * tile.n_channels + c] * tile.rows[i][c];
    tile.out[c] = sum / (1.0F + std::exp(-sum));
  }
}

void L2Norm(float* x, int64_t n, float eps, float scale) {
  float squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const float factor = scale / std::sqrt(squares + eps);
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

void SigmoidMul(const float* x, const float* gate, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] / (1.0F + std::exp(-gate[i]));
}

}  // namespace quern::kernels::ref
