#include <immintrin.h>

#include "kernels/x86/tile_f8-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {
namespace {

// Shifted into place an e4m3 is a half whose exponent is 8 too low; the scales make up for it.
inline __m512 Widen(__m128i v) {
  const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(v), 7);
  return _mm512_cvtph_ps(_mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<int16_t>(0xBF80))));
}

// Two chains of 16 lanes inside a block; what is left of a multiple of 32 goes to the first, then the second.
struct F8Kernel {
  static constexpr int kMaxRows = 8;

  template <int N>
  static void Dot(const std::byte* row, const float* scales, const float* const* x, int64_t cols, float* out) {
    __m512 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = _mm512_setzero_ps();
    for (int64_t c = 0; c < cols; c += kF8Block) {
      const int64_t end = c + kF8Block < cols ? c + kF8Block : cols;
      __m512 even[N];
      __m512 odd[N];
      for (int i = 0; i < N; ++i) even[i] = odd[i] = _mm512_setzero_ps();
      int64_t at = c;
      for (; at + 32 <= end; at += 32) {
        const __m512 w0 = Widen(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(row + at)));
        const __m512 w1 = Widen(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(row + at + 16)));
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i) {
          even[i] = _mm512_fmadd_ps(w0, _mm512_loadu_ps(x[i] + at), even[i]);
          odd[i] = _mm512_fmadd_ps(w1, _mm512_loadu_ps(x[i] + at + 16), odd[i]);
        }
      }
      const auto rest = static_cast<uint32_t>(end - at);
      if (rest != 0) {
        const uint32_t mask = (1U << rest) - 1;
        const auto m0 = static_cast<__mmask16>(mask);
        const auto m1 = static_cast<__mmask16>(mask >> 16);
        const __m512 w0 = Widen(_mm_maskz_loadu_epi8(m0, row + at));
        const __m512 w1 = Widen(_mm_maskz_loadu_epi8(m1, row + at + 16));
        for (int i = 0; i < N; ++i) {
          even[i] = _mm512_fmadd_ps(w0, _mm512_maskz_loadu_ps(m0, x[i] + at), even[i]);
          odd[i] = _mm512_fmadd_ps(w1, _mm512_maskz_loadu_ps(m1, x[i] + at + 16), odd[i]);
        }
      }
      const __m512 scale = _mm512_set1_ps(scales[c / kF8Block] * kF8HalfShift);
      for (int i = 0; i < N; ++i) acc[i] = _mm512_fmadd_ps(_mm512_add_ps(even[i], odd[i]), scale, acc[i]);
    }
    for (int i = 0; i < N; ++i) out[i] = _mm512_reduce_add_ps(acc[i]);
  }
};

}  // namespace

void MatMulF8E4M3(const MatMulTile& tile) { RunF8Tile<F8Kernel>(tile); }

}  // namespace quern::kernels::avx512
