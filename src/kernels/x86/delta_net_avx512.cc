#include <immintrin.h>

#include "kernels/x86/exp_avx512-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {
namespace {

inline __mmask16 MaskFor(int64_t left) {
  return left >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1U << left) - 1);
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
