#include <immintrin.h>

#include "kernels/x86/exp_avx512-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {
namespace {

inline __mmask16 MaskFor(int64_t left) {
  return left >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1U << left) - 1);
}

// Columns [c, c + 16 * kVectors) of the state, the last vector under a mask: all tokens, so that the strip (32 KiB for
// 128 keys and 4 vectors) stays in the first cache level between them.
template <int kVectors>
void Strip(const DeltaTile& tile, int64_t c) {
  const int64_t n = tile.value_dim;
  __mmask16 mask[kVectors];
  for (int j = 0; j < kVectors; ++j) mask[j] = MaskFor(n - c - 16 * j);
  for (int64_t t = 0; t < tile.n_tokens; ++t) {
    const float* q = tile.q + t * tile.qk_stride;
    const float* k = tile.k + t * tile.qk_stride;
    const float* v = tile.v + t * tile.v_stride + c;
    const __m512 decay = _mm512_set1_ps(tile.decay[t * tile.gate_stride]);
    const __m512 beta = _mm512_set1_ps(tile.beta[t * tile.gate_stride]);
    __m512 change[kVectors], sum[kVectors];
    for (int j = 0; j < kVectors; ++j) change[j] = sum[j] = _mm512_setzero_ps();
    float* s = tile.state + c;
    for (int64_t i = 0; i < tile.key_dim; ++i, s += n) {
      const __m512 key = _mm512_set1_ps(k[i]);
      for (int j = 0; j < kVectors; ++j) {
        const __m512 decayed = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask[j], s + 16 * j), decay);
        _mm512_mask_storeu_ps(s + 16 * j, mask[j], decayed);
        change[j] = _mm512_fmadd_ps(decayed, key, change[j]);
      }
    }
    for (int j = 0; j < kVectors; ++j) {
      change[j] = _mm512_mul_ps(beta, _mm512_sub_ps(_mm512_maskz_loadu_ps(mask[j], v + 16 * j), change[j]));
    }
    s = tile.state + c;
    for (int64_t i = 0; i < tile.key_dim; ++i, s += n) {
      const __m512 key = _mm512_set1_ps(k[i]);
      const __m512 query = _mm512_set1_ps(q[i]);
      for (int j = 0; j < kVectors; ++j) {
        const __m512 next = _mm512_fmadd_ps(key, change[j], _mm512_maskz_loadu_ps(mask[j], s + 16 * j));
        _mm512_mask_storeu_ps(s + 16 * j, mask[j], next);
        sum[j] = _mm512_fmadd_ps(next, query, sum[j]);
      }
    }
    float* out = tile.out + t * tile.out_stride + c;
    for (int j = 0; j < kVectors; ++j) _mm512_mask_storeu_ps(out + 16 * j, mask[j], sum[j]);
  }
}

}  // namespace

void ConvSilu(const ConvTile& tile) {
  const __m512 one = _mm512_set1_ps(1.0F);
  for (int64_t c = 0; c < tile.n_channels; c += 16) {
    const __mmask16 m = MaskFor(tile.n_channels - c);
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < tile.width; ++i) {
      const __m512 w = _mm512_maskz_loadu_ps(m, tile.w + i * tile.n_channels + c);
      sum = _mm512_fmadd_ps(w, _mm512_maskz_loadu_ps(m, tile.rows[i] + c), sum);
    }
    const __m512 down = _mm512_add_ps(one, Exp(_mm512_sub_ps(_mm512_setzero_ps(), sum)));
    _mm512_mask_storeu_ps(tile.out + c, m, _mm512_div_ps(sum, down));
  }
}

void L2Norm(float* x, int64_t n, float eps, float scale) {
  __m512 squares = _mm512_setzero_ps();
  for (int64_t c = 0; c < n; c += 16) {
    const __m512 v = _mm512_maskz_loadu_ps(MaskFor(n - c), x + c);
    squares = _mm512_fmadd_ps(v, v, squares);
  }
  const float length = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(_mm512_reduce_add_ps(squares) + eps)));
  const __m512 factor = _mm512_set1_ps(scale / length);
  for (int64_t c = 0; c < n; c += 16) {
    const __mmask16 m = MaskFor(n - c);
    _mm512_mask_storeu_ps(x + c, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + c), factor));
  }
}

void DeltaSteps(const DeltaTile& tile) {
  int64_t c = 0;
  for (; c + 64 <= tile.value_dim; c += 64) Strip<4>(tile, c);
  for (; c < tile.value_dim; c += 16) Strip<1>(tile, c);
}

void SigmoidMul(const float* x, const float* gate, int64_t n, float* out) {
  const __m512 one = _mm512_set1_ps(1.0F);
  for (int64_t c = 0; c < n; c += 16) {
    const __mmask16 m = MaskFor(n - c);
    const __m512 g = _mm512_maskz_loadu_ps(m, gate + c);
    const __m512 down = _mm512_add_ps(one, Exp(_mm512_sub_ps(_mm512_setzero_ps(), g)));
    _mm512_mask_storeu_ps(out + c, m, _mm512_div_ps(_mm512_maskz_loadu_ps(m, x + c), down));
  }
}

}  // namespace quern::kernels::avx512
