#include <immintrin.h>

#include "kernels/x86/tile-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512bf16 {
namespace {

inline __m512bh AsBf16(__m512i v) { return reinterpret_cast<__m512bh>(v); }

// Rows of x are filled up with zeros to 64 bytes, so only weights need a mask at the end.
struct Bf16Kernel {
  using X = uint16_t;
  static constexpr int kMaxRows = 8;

  template <int N>
  static void Dot(const std::byte* row, const uint16_t* const* x, int64_t cols, float* out) {
    __m512 even[N];
    __m512 odd[N];
    for (int i = 0; i < N; ++i) even[i] = odd[i] = _mm512_setzero_ps();
    int64_t c = 0;
    for (; c + 64 <= cols; c += 64) {
      const __m512i w0 = _mm512_loadu_si512(row + 2 * c);
      const __m512i w1 = _mm512_loadu_si512(row + 2 * c + 64);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        even[i] = _mm512_dpbf16_ps(even[i], AsBf16(w0), AsBf16(_mm512_load_si512(x[i] + c)));
        odd[i] = _mm512_dpbf16_ps(odd[i], AsBf16(w1), AsBf16(_mm512_load_si512(x[i] + c + 32)));
      }
    }
    for (; c < cols; c += 32) {
      const int64_t rest = cols - c;
      const __mmask32 m = rest >= 32 ? 0xFFFFFFFFU : (1U << rest) - 1;
      const __m512i w = _mm512_maskz_loadu_epi16(m, row + 2 * c);
      for (int i = 0; i < N; ++i) {
        even[i] = _mm512_dpbf16_ps(even[i], AsBf16(w), AsBf16(_mm512_load_si512(x[i] + c)));
      }
    }
    for (int i = 0; i < N; ++i) out[i] = _mm512_reduce_add_ps(_mm512_add_ps(even[i], odd[i]));
  }
};

}  // namespace

void MatMulBF16(const MatMulTile& tile) { RunTile<Bf16Kernel>(tile); }

void ToBf16(const float* x, int64_t n, uint16_t* out) {
  // Not vcvtne2ps2bf16: it flushes subnormals, and all levels promise the same bits.
  const __m512i half = _mm512_set1_epi32(0x7FFF);
  const __m512i one = _mm512_set1_epi32(1);
  for (int64_t c = 0; c < n; c += 16) {
    const __mmask16 m = n - c >= 16 ? 0xFFFF : static_cast<__mmask16>((1U << (n - c)) - 1);
    const __m512 value = _mm512_maskz_loadu_ps(m, x + c);
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i high = _mm512_srli_epi32(bits, 16);
    const __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(half, _mm512_and_si512(high, one))), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i result = _mm512_mask_or_epi32(rounded, nan, high, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(out + c), _mm512_cvtepi32_epi16(result));
  }
  const int64_t end = (n + 31) / 32 * 32;
  for (int64_t c = (n + 15) / 16 * 16; c < end; ++c) out[c] = 0;
}

}  // namespace quern::kernels::avx512bf16
