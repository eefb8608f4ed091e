// Integer dot products of quantised weights for AVX-512. Included by two files: one built with VNNI, one without; the
// integers are the same, and so are the results.
#pragma once

#include <immintrin.h>

#include "kernels/tile.h"
#include "kernels/x86/tile-inl.h"

namespace quern::kernels {
namespace {

// acc += pairs of 16-bit products.
inline __m512i MulAdd16(__m512i acc, __m512i a, __m512i b) {
#if defined(__AVX512VNNI__)
  return _mm512_dpwssd_epi32(acc, a, b);
#else
  return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
}

// Sums of four products of unsigned a (at most 128) and signed b (at least -127): 2 * 128 * 127 fits 16 bits, so
// nothing saturates without VNNI.
inline __m512i Dot8(__m512i a, __m512i b) {
#if defined(__AVX512VNNI__)
  return _mm512_dpbusd_epi32(_mm512_setzero_si512(), a, b);
#else
  return _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1));
#endif
}

inline float HalfToFloat(uint16_t half) { return _cvtsh_ss(half); }

inline __m512i Load512(const void* p) { return _mm512_loadu_si512(p); }
inline __m256i Load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i_u*>(p)); }
inline __m512i Twice(const void* p) { return _mm512_broadcast_i64x4(Load256(p)); }

// Low half a, high half b, in every 64-bit lane.
inline __m512i Halves(int64_t a, int64_t b) { return _mm512_set_epi64(b, b, b, b, a, a, a, a); }

inline float Sum(__m512 v) { return _mm512_reduce_add_ps(v); }
inline float Sum(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// ---- q4_k, q5_k: unsigned quants, a scale and a min per 32 ----

struct UnpackQ4K {
  using Block = BlockQ4K;
  static void Unpack(const Block& block, __m512i w[4]) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const __m512i both = _mm512_srlv_epi64(Twice(block.qs + 32 * k), Halves(0, 4));
      w[k] = _mm512_and_si512(both, _mm512_set1_epi8(15));
    }
  }
};

struct UnpackQ5K {
  using Block = BlockQ5K;
  static void Unpack(const Block& block, __m512i w[4]) {
    const __m512i high = Twice(block.qh);
    const __m512i first_bits = Halves(0x0101010101010101, 0x0202020202020202);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const __m512i both = _mm512_srlv_epi64(Twice(block.qs + 32 * k), Halves(0, 4));
      const __m512i low = _mm512_and_si512(both, _mm512_set1_epi8(15));
      const __mmask64 set = _mm512_test_epi8_mask(high, _mm512_slli_epi64(first_bits, static_cast<unsigned>(2 * k)));
      w[k] = _mm512_mask_add_epi8(low, set, low, _mm512_set1_epi8(16));
    }
  }
};

template <typename Format>
struct ScaleMinKernel {
  using X = GroupX8K;
  static constexpr int kMaxRows = 8;

  template <int N>
  static void Dot(const std::byte* row, const GroupX8K* const* x, int64_t cols, float* out) {
    __m512 acc[N];
    __m256 acc_min[N];
    for (int i = 0; i < N; ++i) {
      acc[i] = _mm512_setzero_ps();
      acc_min[i] = _mm256_setzero_ps();
    }
    const auto* blocks = reinterpret_cast<const typename Format::Block*>(row);
    const __m512i two_scales = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(1), 1);
    const __m256i each_min_twice = _mm256_set_epi16(15, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 9, 9, 8, 8);
    for (int64_t b = 0; b < cols / 256; ++b) {
      const auto& block = blocks[b];
      __m512i w[4];
      Format::Unpack(block, w);
      uint32_t packed[4];
      UnpackScaleMin(block.scales, packed);
      const __m256i scale_min = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(packed)));
      const __m256i mins = _mm256_permutexvar_epi16(each_min_twice, scale_min);
      __m512i scales[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const __m512i index = _mm512_add_epi16(two_scales, _mm512_set1_epi16(static_cast<int16_t>(2 * k)));
        scales[k] = _mm512_permutexvar_epi16(index, _mm512_zextsi256_si512(scale_min));
      }
      const float d = HalfToFloat(block.d);
      const float dmin = HalfToFloat(block.dmin);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const GroupX8K& g = x[i][b];
        __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          sum = MulAdd16(sum, _mm512_maddubs_epi16(w[k], Load512(g.q + 64 * k)), scales[k]);
        }
        const __m256i min_sum = _mm256_madd_epi16(mins, Load256(g.sum));
        acc[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(d * g.d), acc[i]);
        acc_min[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(min_sum), _mm256_set1_ps(dmin * g.d), acc_min[i]);
      }
    }
    for (int i = 0; i < N; ++i) out[i] = Sum(acc[i]) - Sum(acc_min[i]);
  }
};

// ---- q6_k: quants 0..63 less 32, a signed scale per 16 ----

struct Q6KKernel {
  using X = GroupX8K;
  static constexpr int kMaxRows = 8;

  static void Unpack(const BlockQ6K& block, __m512i w[4]) {
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i two_bits = _mm512_set1_epi8(3);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512i low = Load512(block.ql + 64 * half);
      const __m512i high = Twice(block.qh + 32 * half);
      const __m512i first = _mm512_and_si512(_mm512_srlv_epi64(high, Halves(0, 2)), two_bits);
      const __m512i second = _mm512_and_si512(_mm512_srlv_epi64(high, Halves(4, 6)), two_bits);
      w[2 * half] = _mm512_or_si512(_mm512_and_si512(low, nibble), _mm512_slli_epi16(first, 4));
      w[2 * half + 1] =
          _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble), _mm512_slli_epi16(second, 4));
    }
  }

  template <int N>
  static void Dot(const std::byte* row, const GroupX8K* const* x, int64_t cols, float* out) {
    __m512 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = _mm512_setzero_ps();
    const auto* blocks = reinterpret_cast<const BlockQ6K*>(row);
    // Eight 16-bit lanes per scale: 0 x 8, 1 x 8, 2 x 8, 3 x 8.
    const __m512i four_scales = _mm512_set_epi64(0x0003000300030003, 0x0003000300030003, 0x0002000200020002,
                                                 0x0002000200020002, 0x0001000100010001, 0x0001000100010001, 0, 0);
    for (int64_t b = 0; b < cols / 256; ++b) {
      const BlockQ6K& block = blocks[b];
      __m512i w[4];
      Unpack(block, w);
      const __m256i all_scales =
          _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(block.scales)));
      __m512i scales[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const __m512i index = _mm512_add_epi16(four_scales, _mm512_set1_epi16(static_cast<int16_t>(4 * k)));
        scales[k] = _mm512_permutexvar_epi16(index, _mm512_zextsi256_si512(all_scales));
      }
      const float d = HalfToFloat(block.d);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const GroupX8K& g = x[i][b];
        const __m256i offset = _mm256_slli_epi32(_mm256_madd_epi16(all_scales, Load256(g.sum)), 5);
        __m512i sum = _mm512_zextsi256_si512(_mm256_sub_epi32(_mm256_setzero_si256(), offset));
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          sum = MulAdd16(sum, _mm512_maddubs_epi16(w[k], Load512(g.q + 64 * k)), scales[k]);
        }
        acc[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(d * g.d), acc[i]);
      }
    }
    for (int i = 0; i < N; ++i) out[i] = Sum(acc[i]);
  }
};

// ---- q8_0, q4_0: one scale per 32 on both sides; eight blocks meet one GroupX8 ----

struct UnpackQ8_0 {
  using Block = BlockQ8_0;
  static __m512i Unpack(const Block& a, const Block& b) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(Load256(a.q)), Load256(b.q), 1);
  }
};

struct UnpackQ4_0 {
  using Block = BlockQ4_0;
  static __m256i Nibbles(const Block& block) {
    const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(block.qs));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(raw), _mm_srli_epi16(raw, 4), 1);
  }
  static __m512i Unpack(const Block& a, const Block& b) {
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(Nibbles(a)), Nibbles(b), 1);
    return _mm512_sub_epi8(_mm512_and_si512(both, _mm512_set1_epi8(15)), _mm512_set1_epi8(8));
  }
};

template <typename Format>
struct ScaleKernel {
  using X = GroupX8;
  using Block = typename Format::Block;
  static constexpr int kMaxRows = 8;

  template <int N>
  static void Group(const Block* blocks, const GroupX8* const* x, int64_t g, __m512* acc) {
    __m512i magnitude[4];
    __mmask64 negative[4];
    alignas(16) uint16_t halves[8];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const __m512i w = Format::Unpack(blocks[2 * k], blocks[2 * k + 1]);
      magnitude[k] = _mm512_abs_epi8(w);
      negative[k] = _mm512_movepi8_mask(w);
      halves[2 * k] = blocks[2 * k].d;
      halves[2 * k + 1] = blocks[2 * k + 1].d;
    }
    const __m256 dw = _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(halves)));
    const __m512i two_scales = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(1), 1);
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      const GroupX8& group = x[i][g];
      const __m512 d = _mm512_zextps256_ps512(_mm256_mul_ps(dw, _mm256_load_ps(group.d)));
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const __m512i xq = Load512(group.q + 64 * k);
        const __m512i signed_x = _mm512_mask_sub_epi8(xq, negative[k], _mm512_setzero_si512(), xq);
        const __m512 dot = _mm512_cvtepi32_ps(Dot8(magnitude[k], signed_x));
        const __m512 scale = _mm512_permutexvar_ps(_mm512_add_epi32(two_scales, _mm512_set1_epi32(2 * k)), d);
        acc[i] = _mm512_fmadd_ps(dot, scale, acc[i]);
      }
    }
  }

  template <int N>
  static void Dot(const std::byte* row, const GroupX8* const* x, int64_t cols, float* out) {
    __m512 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = _mm512_setzero_ps();
    const auto* blocks = reinterpret_cast<const Block*>(row);
    const int64_t n_blocks = cols / 32;
    for (int64_t g = 0; g < n_blocks / 8; ++g) Group<N>(blocks + 8 * g, x, g, acc);
    if (n_blocks % 8 != 0) {
      Block rest[8];
      __builtin_memset(rest, 0, sizeof(rest));
      __builtin_memcpy(rest, blocks + n_blocks / 8 * 8, static_cast<size_t>(n_blocks % 8) * sizeof(Block));
      Group<N>(rest, x, n_blocks / 8, acc);
    }
    for (int i = 0; i < N; ++i) out[i] = Sum(acc[i]);
  }
};

}  // namespace
}  // namespace quern::kernels
