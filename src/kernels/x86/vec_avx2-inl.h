// Small pieces shared by the AVX2 files: sums, partial loads, exp. Anonymous on purpose, see packed_tile-inl.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace quern::kernels {
namespace {

inline float Sum(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline __m256i Load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i_u*>(p)); }
inline __m128i Load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i_u*>(p)); }

// The first `left` (1..8, more counts as 8) lanes on.
inline __m256i LaneMask(int64_t left) {
  const int n = left >= 8 ? 8 : static_cast<int>(left);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

struct LoadF32 {
  static constexpr int kBytes = 4;
  static __m256 Full(const std::byte* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static __m256 Part(const std::byte* p, int n) {
    return _mm256_maskload_ps(reinterpret_cast<const float*>(p), LaneMask(n));
  }
};

// n (0..8) 16-bit values, the rest zero.
inline __m128i Part128(const std::byte* p, int n) {
  alignas(16) uint16_t values[8] = {};
  __builtin_memcpy(values, p, static_cast<size_t>(n) * 2);
  return _mm_load_si128(reinterpret_cast<const __m128i*>(values));
}

struct LoadF16 {
  static constexpr int kBytes = 2;
  static __m256 Full(const std::byte* p) { return _mm256_cvtph_ps(Load128(p)); }
  static __m256 Part(const std::byte* p, int n) { return _mm256_cvtph_ps(Part128(p, n)); }
};

struct LoadBF16 {
  static constexpr int kBytes = 2;
  static __m256 Widen(__m128i v) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16)); }
  static __m256 Full(const std::byte* p) { return Widen(Load128(p)); }
  static __m256 Part(const std::byte* p, int n) { return Widen(Part128(p, n)); }
};

// exp with relative error below 2e-7 (kernels/ops_test.cc sweeps it). Below -87.3 the result stays 1.2e-38, above 88.3
// it stays 2.2e38. NaN stays NaN.
inline __m256 Exp(__m256 x) {
  x = _mm256_max_ps(_mm256_set1_ps(-87.3F), _mm256_min_ps(_mm256_set1_ps(88.3F), x));
  const __m256 scaled = _mm256_mul_ps(x, _mm256_set1_ps(1.44269504F));
  const __m256 n = _mm256_round_ps(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // x - n ln 2 with ln 2 in two parts; |r| <= 0.3466.
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375F), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4F), r);
  // Taylor terms up to r^7 / 7!: the next is below 1e-8 of the result.
  __m256 p = _mm256_set1_ps(1.0F / 5040);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 720));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 120));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 24));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 6));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5F));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F));
  // 2^n in two steps would only matter for subnormal results, which the clamp excludes; n is in -126..127.
  const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  const __m256 result = _mm256_mul_ps(p, _mm256_castsi256_ps(power));
  return _mm256_blendv_ps(result, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

}  // namespace
}  // namespace quern::kernels
