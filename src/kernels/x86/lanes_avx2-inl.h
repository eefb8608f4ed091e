// Half of a packed group, 8 rows, as lanes of one 256-bit register, for packed_quant-inl.h and packed_float-inl.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace quern::kernels {
namespace {

struct Lanes256 {
  using I = __m256i;
  using F = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kParts = 2;  // registers per group
  static constexpr bool kStartsDots = false;
  static constexpr int kMaxColumns = 4;

  static __m128i Load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i_u*>(p)); }
  static I Load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i_u*>(p)); }
  static I LoadBytesU(const void* p) { return _mm256_cvtepu8_epi16(Load128(p)); }
  static I LoadBytesS(const void* p) { return _mm256_cvtepi8_epi16(Load128(p)); }
  static F LoadHalves(const void* p) { return _mm256_cvtph_ps(Load128(p)); }
  // e4m3 shifted into a half's place: its exponent is then 8 too low.
  static F LoadF8(const void* p) {
    const __m128i codes = _mm_loadl_epi64(static_cast<const __m128i_u*>(p));
    const __m128i shifted = _mm_slli_epi16(_mm_cvtepi8_epi16(codes), 7);
    return _mm256_cvtph_ps(_mm_and_si128(shifted, _mm_set1_epi16(static_cast<int16_t>(0xBF80))));
  }
  static F LoadFloats(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  static void Store(void* p, I v) { _mm256_storeu_si256(static_cast<__m256i_u*>(p), v); }
  static void StoreFloats(float* p, F v) { _mm256_storeu_ps(p, v); }
  static I FirstLanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  }
  static void StorePart(float* p, int n, F v) { _mm256_maskstore_ps(p, FirstLanes(n), v); }
  static F LoadPart(const float* p, int n) { return _mm256_maskload_ps(p, FirstLanes(n)); }

  static I Zero() { return _mm256_setzero_si256(); }
  static F ZeroF() { return _mm256_setzero_ps(); }
  static I Set8(int v) { return _mm256_set1_epi8(static_cast<char>(v)); }
  static I Broadcast32(const void* p) {
    int32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return _mm256_set1_epi32(v);
  }
  static F SetF(float v) { return _mm256_set1_ps(v); }

  static I And(I a, I b) { return _mm256_and_si256(a, b); }
  static I Or(I a, I b) { return _mm256_or_si256(a, b); }
  static I Add32(I a, I b) { return _mm256_add_epi32(a, b); }
  static I Sub32(I a, I b) { return _mm256_sub_epi32(a, b); }
  template <int kBits>
  static I Right16(I v) {
    return _mm256_srli_epi16(v, kBits);
  }
  template <int kBits>
  static I Left16(I v) {
    return _mm256_slli_epi16(v, kBits);
  }
  template <int kBits>
  static I Left32(I v) {
    return _mm256_slli_epi32(v, kBits);
  }
  template <int kBits>
  static I RightSigned32(I v) {
    return _mm256_srai_epi32(v, kBits);
  }
  static I HighHalves(I v) { return _mm256_and_si256(v, _mm256_set1_epi32(static_cast<int>(0xFFFF0000U))); }
  static F AsFloats(I v) { return _mm256_castsi256_ps(v); }
  static F ToFloats(I v) { return _mm256_cvtepi32_ps(v); }
  static F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static F MulAdd(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }      // a * b + c
  static F NegMulAdd(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a * b

  // acc + pairs of 16-bit products.
  static I MulAdd16(I acc, I a, I b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }

  // A scale in the form that DotScaled takes (twice 16 bits), out of pairs of 16-bit scales.
  static I FirstScale(I pairs) {
    return _mm256_or_si256(_mm256_and_si256(pairs, _mm256_set1_epi32(0xFFFF)), _mm256_slli_epi32(pairs, 16));
  }
  static I SecondScale(I pairs) { return _mm256_or_si256(HighHalves(pairs), _mm256_srli_epi32(pairs, 16)); }

  // sum[i] += scale * dot(w, x[i] + at) for i < N, over kQuads quads of unsigned weights; kSafe products in a row fit
  // 16 bits.
  template <int N, int kQuads, int kSafe>
  [[gnu::always_inline]] static void DotScaled(const I* w, const int8_t* const* x, int at, I scale, I* sum) {
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
      for (int k = 0; k < kQuads; k += kSafe) {
        I dot = _mm256_maddubs_epi16(w[k], Broadcast32(x[i] + at + 4 * k));
#pragma GCC unroll 8
        for (int more = k + 1; more < k + kSafe; ++more) {
          dot = _mm256_add_epi16(dot, _mm256_maddubs_epi16(w[more], Broadcast32(x[i] + at + 4 * more)));
        }
        sum[i] = MulAdd16(sum[i], dot, scale);
      }
    }
  }

  // finish(i, start(i) + dot(w, x[i] + at)) for i < N, over kQuads quads whose products fit 16 bits together.
  template <int N, int kQuads, typename Start, typename Finish>
  [[gnu::always_inline]] static void DotOnce(const I* w, const int8_t* const* x, int at, Start start, Finish finish) {
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
      I dot = start(i);
      DotScaled<1, kQuads, kQuads>(w, x + i, at, _mm256_set1_epi16(1), &dot);
      finish(i, dot);
    }
  }

  // finish(i, dot(w - 128, x[i] + at)) over eight quads; start is for instruction sets with wider sums.
  template <int N, typename Start, typename Finish>
  [[gnu::always_inline]] static void DotBytes(const I* w, const int8_t* const* x, int at, Start /*start*/,
                                              Finish finish) {
    // 255 * 127 twice would not fit 16 bits: magnitudes (at most 128) against x with the weight's sign.
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
      I dot = Zero();
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        const I value = _mm256_xor_si256(w[k], Set8(0x80));
        const I with_sign = _mm256_sign_epi8(Broadcast32(x[i] + at + 4 * k), value);
        dot = MulAdd16(dot, _mm256_maddubs_epi16(_mm256_abs_epi8(value), with_sign), _mm256_set1_epi16(1));
      }
      finish(i, dot);
    }
  }
};

}  // namespace
}  // namespace quern::kernels
