// Attention in vectors of 16; what the frame in attention-inl.h asks for. Dot uses VNNI, and DotBf16 BF16, where the
// file is built with it.
#pragma once

#include <immintrin.h>

#include "kernels/x86/attention-inl.h"
#include "kernels/x86/exp_avx512-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels {
namespace {

struct Simd512 {
  using F = __m512;
  using I = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kQueries = 8;  // times two accumulators: 16 of 32 registers, four times the latency of an FMA

  static F Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F Set1(float v) { return _mm512_set1_ps(v); }
  static F Zero() { return _mm512_setzero_ps(); }
  static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F Max(F a, F b) { return _mm512_max_ps(a, b); }
  static F Exp(F v) { return kernels::Exp(v); }
  static __mmask16 First(int n) {
    return n >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>(n <= 0 ? 0U : (1U << n) - 1);
  }
  static F Select(__mmask16 m, F a, F b) { return _mm512_mask_blend_ps(m, b, a); }
  static float ReduceMax(F v) { return _mm512_reduce_max_ps(v); }
  static float ReduceAdd(F v) { return _mm512_reduce_add_ps(v); }
  static bool AnyAbove(F v, float limit) { return _mm512_cmp_ps_mask(v, Set1(limit), _CMP_GT_OQ) != 0; }

  static I LoadI(const std::byte* p) { return _mm512_loadu_si512(p); }
  static I ZeroI() { return _mm512_setzero_si512(); }
  static I SetPair(const int16_t* p) {
    int32_t both;
    __builtin_memcpy(&both, p, sizeof(both));
    return _mm512_set1_epi32(both);
  }
  static I Dot(I c, I a, I b) {
#ifdef __AVX512VNNI__
    return _mm512_dpwssd_epi32(c, a, b);
#else
    return _mm512_add_epi32(c, _mm512_madd_epi16(a, b));
#endif
  }
  static F ToFloat(I v) { return _mm512_cvtepi32_ps(v); }

  static F FromF16(const std::byte* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p)));
  }
  static void StoreI16(int16_t* to, F v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(to), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
  }
  static I FirstOfPairs(I x) { return _mm512_and_si512(x, _mm512_set1_epi32(0xFFFF)); }
#ifdef __AVX512BF16__
  static F DotBf16(F c, I a, I b) {
    return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  static F StoreBf16(uint16_t* to, F v) {
    const auto bits = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(to), bits);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
#else
  static F First16(I x) { return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)); }
  static F Second16(I x) { return _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(-0x10000))); }
  static F DotBf16(F c, I a, I b) { return Fma(First16(a), First16(b), Fma(Second16(a), Second16(b), c)); }
  static F StoreBf16(uint16_t* to, F v) {
    const I bits = _mm512_castps_si512(v);
    const I odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const I rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(to), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
    return Second16(rounded);
  }
#endif
  static float OneF16(uint16_t bits) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits))); }

  template <int kPair>
  static I SignedPairs(I x) {
    return _mm512_srai_epi16(kPair == 0 ? _mm512_slli_epi16(x, 8) : x, 8);
  }
  template <int kPair>
  static I NibblePairs(I x) {
    const I nibbles = _mm512_and_si512(_mm512_srli_epi16(x, 4 * kPair), _mm512_set1_epi16(15));
    return _mm512_sub_epi16(nibbles, _mm512_set1_epi16(8));
  }

  static __m128i Load16(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p)); }
  static F FromI8(const std::byte* p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(Load16(p))); }
  // A whole group: its two halves.
  static void FromNibbles(const std::byte* p, int /*d*/, F& v0, F& v1) {
    const I both = _mm512_cvtepu8_epi32(Load16(p));
    const I eight = _mm512_set1_epi32(8);
    v0 = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_and_si512(both, _mm512_set1_epi32(15)), eight));
    v1 = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(both, 4), eight));
  }
};

}  // namespace
}  // namespace quern::kernels
