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

void DeltaSteps(const DeltaTile& tile) {
  const int64_t n = tile.value_dim;
  for (int64_t t = 0; t < tile.n_tokens; ++t) {
    const float* q = tile.q + t * tile.qk_stride;
    const float* k = tile.k + t * tile.qk_stride;
    const float* v = tile.v + t * tile.v_stride;
    const float decay = tile.decay[t * tile.gate_stride];
    const float beta = tile.beta[t * tile.gate_stride];
    float* out = tile.out + t * tile.out_stride;
    // Columns of the state never meet each other.
    for (int64_t c = 0; c < n; ++c) {
      float* s = tile.state + c;
      float m = 0;
      for (int64_t i = 0; i < tile.key_dim; ++i) {
        s[i * n] *= decay;
        m += s[i * n] * k[i];
      }
      const float change = beta * (v[c] - m);
      float sum = 0;
      for (int64_t i = 0; i < tile.key_dim; ++i) {
        s[i * n] += k[i] * change;
        sum += s[i * n] * q[i];
      }
      out[c] = sum;
    }
  }
}

void SigmoidMul(const float* x, const float* gate, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] / (1.0F + std::exp(-gate[i]));
}

}  // namespace quern::kernels::ref
