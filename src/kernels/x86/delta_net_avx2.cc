#include "kernels/x86/vec_avx2-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {

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
