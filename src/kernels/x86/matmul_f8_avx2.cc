#include "kernels/x86/tile_f8-inl.h"
#include "kernels/x86/vec_avx2-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {
namespace {

// Shifted into place an e4m3 is a half whose exponent is 8 too low; the scales make up for it.
inline __m256 Widen(__m128i v) {
  const __m128i shifted = _mm_slli_epi16(_mm_cvtepi8_epi16(v), 7);
  return _mm256_cvtph_ps(_mm_and_si128(shifted, _mm_set1_epi16(static_cast<int16_t>(0xBF80))));
}

inline __m256 Full(const std::byte* p) { return Widen(_mm_loadl_epi64(reinterpret_cast<const __m128i_u*>(p))); }

// n (0..8) values, the rest zero.
inline __m256 Part(const std::byte* p, int n) {
  uint64_t values = 0;
  __builtin_memcpy(&values, p, static_cast<size_t>(n));
  return Widen(_mm_cvtsi64_si128(static_cast<int64_t>(values)));
}

// Two chains of 8 lanes inside a block; what is left of a multiple of 16 goes to the first, then the second.
struct F8Kernel {
  static constexpr int kMaxRows = 4;

  template <int N>
  static void Dot(const std::byte* row, const float* scales, const float* const* x, int64_t cols, float* out) {
    __m256 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = _mm256_setzero_ps();
    for (int64_t c = 0; c < cols; c += kF8Block) {
      const int64_t end = c + kF8Block < cols ? c + kF8Block : cols;
      __m256 even[N];
      __m256 odd[N];
      for (int i = 0; i < N; ++i) even[i] = odd[i] = _mm256_setzero_ps();
      int64_t at = c;
      for (; at + 16 <= end; at += 16) {
        const __m256 w0 = Full(row + at);
        const __m256 w1 = Full(row + at + 8);
#pragma GCC unroll 4
        for (int i = 0; i < N; ++i) {
          even[i] = _mm256_fmadd_ps(w0, _mm256_loadu_ps(x[i] + at), even[i]);
          odd[i] = _mm256_fmadd_ps(w1, _mm256_loadu_ps(x[i] + at + 8), odd[i]);
        }
      }
      for (__m256* chain = even; at < end; at += 8, chain = odd) {
        const int n = end - at < 8 ? static_cast<int>(end - at) : 8;
        const __m256 w = Part(row + at, n);
        for (int i = 0; i < N; ++i) chain[i] = _mm256_fmadd_ps(w, _mm256_maskload_ps(x[i] + at, LaneMask(n)), chain[i]);
      }
      const __m256 scale = _mm256_set1_ps(scales[c / kF8Block] * kF8HalfShift);
      for (int i = 0; i < N; ++i) acc[i] = _mm256_fmadd_ps(_mm256_add_ps(even[i], odd[i]), scale, acc[i]);
    }
    for (int i = 0; i < N; ++i) out[i] = Sum(acc[i]);
  }
};

}  // namespace

void MatMulF8E4M3(const MatMulTile& tile) { RunF8Tile<F8Kernel>(tile); }

}  // namespace quern::kernels::avx2
