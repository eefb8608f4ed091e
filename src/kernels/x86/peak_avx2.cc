// Rounds of 8 independent chains, more than the latency of one instruction times how many start per cycle. An operation
// is a multiplication or an addition.
#include <immintrin.h>

#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {

// 8 x 32 multiply-adds of bytes: multiply and add pairs, widen and add pairs, add.
int32_t Int8Peak(int64_t n_rounds) {
  const __m256i a = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
  __m256i b = _mm256_set1_epi8(1);
  __m256i acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm256_set1_epi32(i);
  for (int64_t round = 0; round < n_rounds; ++round) {
    for (auto& sum : acc) {
      __asm__ volatile("" : "+x"(b));  // the product is computed each time
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  for (int i = 1; i < 8; ++i) acc[0] = _mm256_add_epi32(acc[0], acc[i]);
  return _mm256_extract_epi32(acc[0], 0);
}

// 8 x 8 multiply-adds.
int32_t F32Peak(int64_t n_rounds) {
  const __m256 a = _mm256_set1_ps(0.5F), b = _mm256_set1_ps(0.25F);
  __m256 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t round = 0; round < n_rounds; ++round) {
    for (auto& sum : acc) sum = _mm256_fmadd_ps(sum, a, b);
  }
  for (int i = 1; i < 8; ++i) acc[0] = _mm256_add_ps(acc[0], acc[i]);
  return static_cast<int32_t>(_mm256_cvtss_f32(acc[0]));
}

}  // namespace quern::kernels::avx2
