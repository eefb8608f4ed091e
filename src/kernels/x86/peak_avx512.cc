// As peak_avx2.cc, in 512-bit registers.
#include <immintrin.h>

#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {

// 8 x 16 multiply-adds.
int32_t F32Peak(int64_t n_rounds) {
  const __m512 a = _mm512_set1_ps(0.5F), b = _mm512_set1_ps(0.25F);
  __m512 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t round = 0; round < n_rounds; ++round) {
    for (auto& sum : acc) sum = _mm512_fmadd_ps(sum, a, b);
  }
  for (int i = 1; i < 8; ++i) acc[0] = _mm512_add_ps(acc[0], acc[i]);
  return static_cast<int32_t>(_mm512_cvtss_f32(acc[0]));
}

}  // namespace quern::kernels::avx512
