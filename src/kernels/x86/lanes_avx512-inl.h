// The 16 rows of a packed group as lanes of one 512-bit register, for packed_quant-inl.h and packed_float-inl.h. With
// VNNI or without: the integers are the same.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace quern::kernels {
namespace {

struct Lanes512 {
  using I = __m512i;
  using F = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kParts = 1;  // registers per group
#if defined(__AVX512VNNI__)
  static constexpr int kMaxColumns = 16;
#else
  static constexpr int kMaxColumns = 8;
#endif

  static I Load(const void* p) { return _mm512_loadu_si512(p); }
  static I LoadBytesU(const void* p) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(static_cast<const __m256i_u*>(p)));
  }
  static I LoadBytesS(const void* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i_u*>(p)));
  }
  static F LoadHalves(const void* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i_u*>(p))); }
  // e4m3 shifted into a half's place: its exponent is then 8 too low.
  static F LoadF8(const void* p) {
    const __m128i codes = _mm_loadu_si128(static_cast<const __m128i_u*>(p));
    const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(codes), 7);
    return _mm512_cvtph_ps(_mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<int16_t>(0xBF80))));
  }
  static F LoadFloats(const void* p) { return _mm512_loadu_ps(p); }
  static void Store(void* p, I v) { _mm512_storeu_si512(p, v); }
  static void StoreFloats(float* p, F v) { _mm512_storeu_ps(p, v); }
  static void StorePart(float* p, int n, F v) { _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << n) - 1), v); }
  static F LoadPart(const float* p, int n) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << n) - 1), p); }

  static I Zero() { return _mm512_setzero_si512(); }
  static F ZeroF() { return _mm512_setzero_ps(); }
  static I Set8(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
  static I Broadcast32(const void* p) {
    int32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return _mm512_set1_epi32(v);
  }
  static F SetF(float v) { return _mm512_set1_ps(v); }

  static I And(I a, I b) { return _mm512_and_si512(a, b); }
  static I Or(I a, I b) { return _mm512_or_si512(a, b); }
  static I Add32(I a, I b) { return _mm512_add_epi32(a, b); }
  static I Sub32(I a, I b) { return _mm512_sub_epi32(a, b); }
  template <int kBits>
  static I Right16(I v) {
    return _mm512_srli_epi16(v, kBits);
  }
  template <int kBits>
  static I Left16(I v) {
    return _mm512_slli_epi16(v, kBits);
  }
  template <int kBits>
  static I Left32(I v) {
    return _mm512_slli_epi32(v, kBits);
  }
  template <int kBits>
  static I RightSigned32(I v) {
    return _mm512_srai_epi32(v, kBits);
  }
  static I HighHalves(I v) { return _mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U))); }
  static F AsFloats(I v) { return _mm512_castsi512_ps(v); }
  static F ToFloats(I v) { return _mm512_cvtepi32_ps(v); }
  static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static F MulAdd(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }      // a * b + c
  static F NegMulAdd(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b

  // acc + pairs of 16-bit products.
  static I MulAdd16(I acc, I a, I b) {
#if defined(__AVX512VNNI__)
    return _mm512_dpwssd_epi32(acc, a, b);
#else
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
  }

  // A scale in the form that DotScaled takes, out of pairs of 16-bit scales.
  static I FirstScale(I pairs) {
#if defined(__AVX512VNNI__)
    return _mm512_srai_epi32(_mm512_slli_epi32(pairs, 16), 16);
#else
    return _mm512_or_si512(_mm512_and_si512(pairs, _mm512_set1_epi32(0xFFFF)), _mm512_slli_epi32(pairs, 16));
#endif
  }
  static I SecondScale(I pairs) {
#if defined(__AVX512VNNI__)
    return _mm512_srai_epi32(pairs, 16);
#else
    return _mm512_or_si512(HighHalves(pairs), _mm512_srli_epi32(pairs, 16));
#endif
  }

  // sum + scale * dot(w, x) over kQuads quads of unsigned weights. kSafe products in a row fit 16 bits.
  template <int kQuads, int kSafe>
  static I DotScaled(const I* w, const int8_t* x, I scale, I sum) {
#if defined(__AVX512VNNI__)
    I dot = Zero();
#pragma GCC unroll 8
    for (int k = 0; k < kQuads; ++k) dot = _mm512_dpbusd_epi32(dot, w[k], Broadcast32(x + 4 * k));
    return Add32(sum, _mm512_mullo_epi32(dot, scale));
#else
#pragma GCC unroll 8
    for (int k = 0; k < kQuads; k += kSafe) {
      I dot = _mm512_maddubs_epi16(w[k], Broadcast32(x + 4 * k));
#pragma GCC unroll 8
      for (int i = k + 1; i < k + kSafe; ++i) {
        dot = _mm512_add_epi16(dot, _mm512_maddubs_epi16(w[i], Broadcast32(x + 4 * i)));
      }
      sum = MulAdd16(sum, dot, scale);
    }
    return sum;
#endif
  }

  // start + dot(w, x) over kQuads quads of unsigned weights whose products fit 16 bits together.
  template <int kQuads>
  static I DotOnce(const I* w, const int8_t* x, I start) {
#if defined(__AVX512VNNI__)
#pragma GCC unroll 8
    for (int k = 0; k < kQuads; ++k) start = _mm512_dpbusd_epi32(start, w[k], Broadcast32(x + 4 * k));
    return start;
#else
    return DotScaled<kQuads, kQuads>(w, x, _mm512_set1_epi16(1), start);
#endif
  }

  // dot(w - 128, x) over eight quads, given start = -128 * sum(x).
  static I DotBytes(const I* w, const int8_t* x, const int32_t* start) {
#if defined(__AVX512VNNI__)
    I dot = Broadcast32(start);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) dot = _mm512_dpbusd_epi32(dot, w[k], Broadcast32(x + 4 * k));
    return dot;
#else
    // 255 * 127 twice would not fit 16 bits: magnitudes (at most 128) against x with the weight's sign.
    (void)start;
    I dot = Zero();
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const I value = _mm512_xor_si512(w[k], Set8(0x80));
      const I xs = Broadcast32(x + 4 * k);
      const I with_sign = _mm512_mask_sub_epi8(xs, _mm512_movepi8_mask(value), Zero(), xs);
      dot = MulAdd16(dot, _mm512_maddubs_epi16(_mm512_abs_epi8(value), with_sign), _mm512_set1_epi16(1));
    }
    return dot;
#endif
  }
};

}  // namespace
}  // namespace quern::kernels
