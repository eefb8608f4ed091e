#include "kernels/x86/vec_avx2-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {
namespace {

// Columns [c, c + 8 * kVectors) of the state, or fewer when kPart: all tokens, so that the strip stays in the first
// cache level between them.
template <int kVectors, bool kPart>
void Strip(const DeltaTile& tile, int64_t c) {
  const int64_t n = tile.value_dim;
  const __m256i mask = LaneMask(n - c);
  const auto load = [&](const float* p) { return kPart ? _mm256_maskload_ps(p, mask) : _mm256_loadu_ps(p); };
  const auto store = [&](float* p, __m256 v) {
    if constexpr (kPart) {
      _mm256_maskstore_ps(p, mask, v);
    } else {
      _mm256_storeu_ps(p, v);
    }
  };
  for (int64_t t = 0; t < tile.n_tokens; ++t) {
    const float* q = tile.q + t * tile.qk_stride;
    const float* k = tile.k + t * tile.qk_stride;
    const float* v = tile.v + t * tile.v_stride + c;
    const __m256 decay = _mm256_set1_ps(tile.decay[t * tile.gate_stride]);
    const __m256 beta = _mm256_set1_ps(tile.beta[t * tile.gate_stride]);
    __m256 change[kVectors], sum[kVectors];
    for (int j = 0; j < kVectors; ++j) change[j] = sum[j] = _mm256_setzero_ps();
    float* s = tile.state + c;
    for (int64_t i = 0; i < tile.key_dim; ++i, s += n) {
      const __m256 key = _mm256_set1_ps(k[i]);
      for (int j = 0; j < kVectors; ++j) {
        const __m256 decayed = _mm256_mul_ps(load(s + 8 * j), decay);
        store(s + 8 * j, decayed);
        change[j] = _mm256_fmadd_ps(decayed, key, change[j]);
      }
    }
    for (int j = 0; j < kVectors; ++j) change[j] = _mm256_mul_ps(beta, _mm256_sub_ps(load(v + 8 * j), change[j]));
    s = tile.state + c;
    for (int64_t i = 0; i < tile.key_dim; ++i, s += n) {
      const __m256 key = _mm256_set1_ps(k[i]);
      const __m256 query = _mm256_set1_ps(q[i]);
      for (int j = 0; j < kVectors; ++j) {
        const __m256 next = _mm256_fmadd_ps(key, change[j], load(s + 8 * j));
        store(s + 8 * j, next);
        sum[j] = _mm256_fmadd_ps(next, query, sum[j]);
      }
    }
    float* out = tile.out + t * tile.out_stride + c;
    for (int j = 0; j < kVectors; ++j) store(out + 8 * j, sum[j]);
  }
}

}  // namespace

void ConvSilu(const ConvTile& tile) {
  const __m256 one = _mm256_set1_ps(1.0F);
  for (int64_t c = 0; c < tile.n_channels; c += 8) {
    const __m256i m = LaneMask(tile.n_channels - c);
    __m256 sum = _mm256_setzero_ps();
    for (int i = 0; i < tile.width; ++i) {
      const __m256 w = _mm256_maskload_ps(tile.w + i * tile.n_channels + c, m);
      sum = _mm256_fmadd_ps(w, _mm256_maskload_ps(tile.rows[i] + c, m), sum);
    }
    const __m256 down = _mm256_add_ps(one, Exp(_mm256_sub_ps(_mm256_setzero_ps(), sum)));
    _mm256_maskstore_ps(tile.out + c, m, _mm256_div_ps(sum, down));
  }
}

void L2Norm(float* x, int64_t n, float eps, float scale) {
  __m256 squares = _mm256_setzero_ps();
  for (int64_t c = 0; c < n; c += 8) {
    const __m256 v = _mm256_maskload_ps(x + c, LaneMask(n - c));
    squares = _mm256_fmadd_ps(v, v, squares);
  }
  const float length = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(Sum(squares) + eps)));
  const __m256 factor = _mm256_set1_ps(scale / length);
  for (int64_t c = 0; c < n; c += 8) {
    const __m256i m = LaneMask(n - c);
    _mm256_maskstore_ps(x + c, m, _mm256_mul_ps(_mm256_maskload_ps(x + c, m), factor));
  }
}

void DeltaSteps(const DeltaTile& tile) {
  int64_t c = 0;
  for (; c + 32 <= tile.value_dim; c += 32) Strip<4, false>(tile, c);
  for (; c + 8 <= tile.value_dim; c += 8) Strip<1, false>(tile, c);
  if (c < tile.value_dim) Strip<1, true>(tile, c);
}

void SigmoidMul(const float* x, const float* gate, int64_t n, float* out) {
  const __m256 one = _mm256_set1_ps(1.0F);
  for (int64_t c = 0; c < n; c += 8) {
    const __m256i m = LaneMask(n - c);
    const __m256 g = _mm256_maskload_ps(gate + c, m);
    const __m256 down = _mm256_add_ps(one, Exp(_mm256_sub_ps(_mm256_setzero_ps(), g)));
    _mm256_maskstore_ps(out + c, m, _mm256_div_ps(_mm256_maskload_ps(x + c, m), down));
  }
}

}  // namespace quern::kernels::avx2
