#include <immintrin.h>

#include "kernels/x86/tile-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {
namespace {

struct LoadF32 {
  static constexpr int kBytes = 4;
  static __m512 Full(const std::byte* p) { return _mm512_loadu_ps(p); }
  static __m512 Part(const std::byte* p, __mmask16 m) { return _mm512_maskz_loadu_ps(m, p); }
};

struct LoadF16 {
  static constexpr int kBytes = 2;
  static __m512 Full(const std::byte* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p)));
  }
  static __m512 Part(const std::byte* p, __mmask16 m) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, p)); }
};

struct LoadBF16 {
  static constexpr int kBytes = 2;
  static __m512 Widen(__m256i v) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16)); }
  static __m512 Full(const std::byte* p) { return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p))); }
  static __m512 Part(const std::byte* p, __mmask16 m) { return Widen(_mm256_maskz_loadu_epi16(m, p)); }
};

// Two chains of 16 lanes; what is left of a multiple of 32 goes to the first, then the second.
template <typename Weights>
struct FloatKernel {
  using X = float;
  static constexpr int kMaxRows = 8;

  template <int N>
  static void Dot(const std::byte* row, const float* const* x, int64_t cols, float* out) {
    __m512 even[N];
    __m512 odd[N];
    for (int i = 0; i < N; ++i) even[i] = odd[i] = _mm512_setzero_ps();
    int64_t c = 0;
    for (; c + 32 <= cols; c += 32) {
      const __m512 w0 = Weights::Full(row + c * Weights::kBytes);
      const __m512 w1 = Weights::Full(row + (c + 16) * Weights::kBytes);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        even[i] = _mm512_fmadd_ps(w0, _mm512_loadu_ps(x[i] + c), even[i]);
        odd[i] = _mm512_fmadd_ps(w1, _mm512_loadu_ps(x[i] + c + 16), odd[i]);
      }
    }
    const auto rest = static_cast<uint32_t>(cols - c);
    if (rest != 0) {
      const uint32_t mask = (1U << rest) - 1;
      const auto m0 = static_cast<__mmask16>(mask);
      const auto m1 = static_cast<__mmask16>(mask >> 16);
      const __m512 w0 = Weights::Part(row + c * Weights::kBytes, m0);
      const __m512 w1 = Weights::Part(row + (c + 16) * Weights::kBytes, m1);
      for (int i = 0; i < N; ++i) {
        even[i] = _mm512_fmadd_ps(w0, _mm512_maskz_loadu_ps(m0, x[i] + c), even[i]);
        odd[i] = _mm512_fmadd_ps(w1, _mm512_maskz_loadu_ps(m1, x[i] + c + 16), odd[i]);
      }
    }
    for (int i = 0; i < N; ++i) out[i] = _mm512_reduce_add_ps(_mm512_add_ps(even[i], odd[i]));
  }
};

}  // namespace

void MatMulF32(const MatMulTile& tile) { RunTile<FloatKernel<LoadF32>>(tile); }
void MatMulF16(const MatMulTile& tile) { RunTile<FloatKernel<LoadF16>>(tile); }
void MatMulBF16(const MatMulTile& tile) { RunTile<FloatKernel<LoadBF16>>(tile); }

}  // namespace quern::kernels::avx512
