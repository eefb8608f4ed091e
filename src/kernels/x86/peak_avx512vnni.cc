// As peak_avx2.cc, in 512-bit registers.
#include <immintrin.h>

#include "kernels/x86/x86.h"

namespace quern::kernels::avx512vnni {

// 8 x 64 multiply-adds of bytes.
int32_t Int8Peak(int64_t n_rounds) {
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(1);
  __m512i acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm512_set1_epi32(i);
  for (int64_t round = 0; round < n_rounds; ++round) {
    for (auto& sum : acc) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
  for (int i = 1; i < 8; ++i) acc[0] = _mm512_add_epi32(acc[0], acc[i]);
  return _mm512_cvtsi512_si32(acc[0]);
}

}  // namespace quern::kernels::avx512vnni
