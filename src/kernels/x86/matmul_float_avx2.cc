#include "kernels/x86/tile-inl.h"
#include "kernels/x86/vec_avx2-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {
namespace {

// Two chains of 8 lanes; what is left of a multiple of 16 goes to the first, then the second.
template <typename Weights>
struct FloatKernel {
  using X = float;
  static constexpr int kMaxRows = 4;

  template <int N>
  static void Dot(const std::byte* row, const float* const* x, int64_t cols, float* out) {
    __m256 even[N];
    __m256 odd[N];
    for (int i = 0; i < N; ++i) even[i] = odd[i] = _mm256_setzero_ps();
    int64_t c = 0;
    for (; c + 16 <= cols; c += 16) {
      const __m256 w0 = Weights::Full(row + c * Weights::kBytes);
      const __m256 w1 = Weights::Full(row + (c + 8) * Weights::kBytes);
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) {
        even[i] = _mm256_fmadd_ps(w0, _mm256_loadu_ps(x[i] + c), even[i]);
        odd[i] = _mm256_fmadd_ps(w1, _mm256_loadu_ps(x[i] + c + 8), odd[i]);
      }
    }
    const int rest = static_cast<int>(cols - c);
    if (rest > 0) {
      const __m256 w = Weights::Part(row + c * Weights::kBytes, rest < 8 ? rest : 8);
      for (int i = 0; i < N; ++i) even[i] = _mm256_fmadd_ps(w, _mm256_maskload_ps(x[i] + c, LaneMask(rest)), even[i]);
    }
    if (rest > 8) {
      const __m256 w = Weights::Part(row + (c + 8) * Weights::kBytes, rest - 8);
      for (int i = 0; i < N; ++i) {
        odd[i] = _mm256_fmadd_ps(w, _mm256_maskload_ps(x[i] + c + 8, LaneMask(rest - 8)), odd[i]);
      }
    }
    for (int i = 0; i < N; ++i) out[i] = Sum(_mm256_add_ps(even[i], odd[i]));
  }
};

}  // namespace

void MatMulF32(const MatMulTile& tile) { RunTile<FloatKernel<LoadF32>>(tile); }
void MatMulF16(const MatMulTile& tile) { RunTile<FloatKernel<LoadF16>>(tile); }
void MatMulBF16(const MatMulTile& tile) { RunTile<FloatKernel<LoadBF16>>(tile); }

}  // namespace quern::kernels::avx2
