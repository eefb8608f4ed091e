#include <immintrin.h>

#include "kernels/x86/lanes_avx512-inl.h"
#include "kernels/x86/packed_tile-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512bf16 {
namespace {

inline __m512bh AsBf16(__m512i v) { return reinterpret_cast<__m512bh>(v); }

// Rows of x are filled up with zeros to 64 bytes, so the last pair is whole.
struct Bf16Kernel {
  using V = Lanes512;
  static constexpr int kMaxColumns = 12;
  static constexpr int64_t kSumPairs = 128;  // short chains keep rounding small

  template <int N>
  static void Columns(const std::byte* group, int /*part*/, int64_t cols, const void* const* x, __m512* out) {
    const int64_t n_pairs = (cols + 1) / 2;
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) out[i] = _mm512_setzero_ps();
    for (int64_t begin = 0; begin < n_pairs; begin += kSumPairs) {
      const int64_t end = begin + kSumPairs < n_pairs ? begin + kSumPairs : n_pairs;
      __m512 sum[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) sum[i] = _mm512_setzero_ps();
#pragma GCC unroll 1
      for (int64_t pair = begin; pair < end; ++pair) {
        const std::byte* line = group + 64 * pair;
        Prefetch<N, 64>(line);
        const __m512i w = V::Load(line);
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) {
          const __m512i two = V::Broadcast32(static_cast<const uint16_t*>(x[i]) + 2 * pair);
          sum[i] = _mm512_dpbf16_ps(sum[i], AsBf16(w), AsBf16(two));
        }
      }
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) out[i] = _mm512_add_ps(out[i], sum[i]);
    }
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
