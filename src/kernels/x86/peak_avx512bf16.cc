// As peak_avx2.cc, in 512-bit registers.
#include <immintrin.h>

#include "kernels/x86/x86.h"

namespace quern::kernels::avx512bf16 {

// 8 x 32 multiply-adds of bf16.
int32_t Bf16Peak(int64_t n_rounds) {
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5F), _mm512_set1_ps(0.5F));
  __m512 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t round = 0; round < n_rounds; ++round) {
    for (auto& sum : acc) sum = _mm512_dpbf16_ps(sum, a, a);
  }
  for (int i = 1; i < 8; ++i) acc[0] = _mm512_add_ps(acc[0], acc[i]);
  // Far beyond any int32 by now; some bits of the float will do.
  return _mm512_cvtsi512_si32(_mm512_castps_si512(acc[0]));
}

}  // namespace quern::kernels::avx512bf16
