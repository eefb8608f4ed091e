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
  static constexpr int kMaxColumns = 8;
#if defined(__AVX512VNNI__)
  static constexpr bool kStartsDots = true;  // a 32-bit dot product can begin anywhere, see DotScaledFrom
#else
  static constexpr bool kStartsDots = false;
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

#if defined(__AVX512VNNI__)
  // finish(i, start(i) + dot(w, x[i] + at)) for i < N, over kQuads quads of unsigned weights. A few sums side by side
  // hide the instruction's latency; more would not fit the registers.
  template <int N, int kQuads, typename Start, typename Finish>
  [[gnu::always_inline]] static void Dots(const I* w, const int8_t* const* x, int at, Start start, Finish finish) {
    constexpr int kAbreast = 4;
#pragma GCC unroll 16
    for (int i = 0; i < N; i += kAbreast) {
      const int n = N - i < kAbreast ? N - i : kAbreast;
      I dot[kAbreast];
#pragma GCC unroll 4
      for (int j = 0; j < n; ++j) dot[j] = start(i + j);
#pragma GCC unroll 8
      for (int k = 0; k < kQuads; ++k) {
#pragma GCC unroll 4
        for (int j = 0; j < n; ++j) {
          dot[j] = _mm512_dpbusd_epi32(dot[j], w[k], Broadcast32(x[i + j] + at + 4 * k));
        }
      }
#pragma GCC unroll 4
      for (int j = 0; j < n; ++j) finish(i + j, dot[j]);
    }
  }

  // sum[i] += scale * dot(w, x[i] + at) for i < N, over kQuads quads of unsigned weights.
  template <int N, int kQuads, int /*kSafe*/>
  [[gnu::always_inline]] static void DotScaled(const I* w, const int8_t* const* x, int at, I scale, I* sum) {
    DotScaledFrom<N, kQuads>(
        w, x, at, [](int) { return Zero(); }, scale, sum);
  }

  // sum[i] += scale * (start(i) + dot(w, x[i] + at)).
  template <int N, int kQuads, typename Start>
  [[gnu::always_inline]] static void DotScaledFrom(const I* w, const int8_t* const* x, int at, Start start, I scale,
                                                   I* sum) {
    Dots<N, kQuads>(w, x, at, start, [&](int i, I dot) { sum[i] = Add32(sum[i], _mm512_mullo_epi32(dot, scale)); });
  }

  // finish(i, start(i) + dot(w, x[i] + at)) over kQuads quads whose products fit 16 bits together.
  template <int N, int kQuads, typename Start, typename Finish>
  [[gnu::always_inline]] static void DotOnce(const I* w, const int8_t* const* x, int at, Start start, Finish finish) {
    Dots<N, kQuads>(w, x, at, start, finish);
  }

  // finish(i, dot(w - 128, x[i] + at)) over eight quads, given start(i) = -128 * sum(x[i]).
  template <int N, typename Start, typename Finish>
  [[gnu::always_inline]] static void DotBytes(const I* w, const int8_t* const* x, int at, Start start, Finish finish) {
    Dots<N, 8>(w, x, at, start, finish);
  }
#else
  // sum[i] += scale * dot(w, x[i] + at) for i < N, over kQuads quads of unsigned weights; kSafe products in a row fit
  // 16 bits.
  template <int N, int kQuads, int kSafe>
  [[gnu::always_inline]] static void DotScaled(const I* w, const int8_t* const* x, int at, I scale, I* sum) {
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
      for (int k = 0; k < kQuads; k += kSafe) {
        I dot = _mm512_maddubs_epi16(w[k], Broadcast32(x[i] + at + 4 * k));
#pragma GCC unroll 8
        for (int more = k + 1; more < k + kSafe; ++more) {
          dot = _mm512_add_epi16(dot, _mm512_maddubs_epi16(w[more], Broadcast32(x[i] + at + 4 * more)));
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
      DotScaled<1, kQuads, kQuads>(w, x + i, at, _mm512_set1_epi16(1), &dot);
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
        const I value = _mm512_xor_si512(w[k], Set8(0x80));
        const I xs = Broadcast32(x[i] + at + 4 * k);
        const I with_sign = _mm512_mask_sub_epi8(xs, _mm512_movepi8_mask(value), Zero(), xs);
        dot = MulAdd16(dot, _mm512_maddubs_epi16(_mm512_abs_epi8(value), with_sign), _mm512_set1_epi16(1));
      }
      finish(i, dot);
    }
  }
#endif
};

}  // namespace
}  // namespace quern::kernels
