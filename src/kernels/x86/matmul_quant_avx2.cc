#include "kernels/x86/tile-inl.h"
#include "kernels/x86/vec_avx2-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {
namespace {

inline float HalfToFloat(uint16_t half) { return _cvtsh_ss(half); }

// acc += scale * (pairs of w * x). Quants are at most 63 here, so pairs fit 16 bits.
inline __m256i ScaledDot(__m256i acc, __m256i w, const int8_t* x, __m256i scale) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, Load256(x)), scale));
}

// ---- q4_k, q5_k ----

// The 64 quants of step k (0..3): w[0] the low nibbles, w[1] the high ones.
struct UnpackQ4K {
  using Block = BlockQ4K;
  static void Unpack(const Block& block, int k, __m256i w[2]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i raw = Load256(block.qs + 32 * k);
    w[0] = _mm256_and_si256(raw, nibble);
    w[1] = _mm256_and_si256(_mm256_srli_epi16(raw, 4), nibble);
  }
};

struct UnpackQ5K {
  using Block = BlockQ5K;
  static __m256i Bit(__m256i high, int bit) {
    const __m256i mask = _mm256_set1_epi8(static_cast<char>(1 << bit));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(high, mask), mask);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
  }
  static void Unpack(const Block& block, int k, __m256i w[2]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i raw = Load256(block.qs + 32 * k);
    const __m256i high = Load256(block.qh);
    w[0] = _mm256_or_si256(_mm256_and_si256(raw, nibble), Bit(high, 2 * k));
    w[1] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(raw, 4), nibble), Bit(high, 2 * k + 1));
  }
};

template <typename Format>
struct ScaleMinKernel {
  using X = GroupX8K;
  static constexpr int kMaxRows = 4;

  template <int N>
  static void Dot(const std::byte* row, const GroupX8K* const* x, int64_t cols, float* out) {
    __m256 acc[N];
    __m256 acc_min[N];
    for (int i = 0; i < N; ++i) acc[i] = acc_min[i] = _mm256_setzero_ps();
    const auto* blocks = reinterpret_cast<const typename Format::Block*>(row);
    for (int64_t b = 0; b < cols / 256; ++b) {
      const auto& block = blocks[b];
      uint32_t packed[4];
      UnpackScaleMin(block.scales, packed);
      const __m256i scale_min = _mm256_cvtepu8_epi16(Load128(packed));
      const __m256i scales = _mm256_permute2x128_si256(scale_min, scale_min, 0x00);
      const __m128i mins = _mm256_extracti128_si256(scale_min, 1);
      const __m256i mins_twice = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi16(mins, mins)),
                                                         _mm_unpackhi_epi16(mins, mins), 1);
      __m256i sum[N];
      for (int i = 0; i < N; ++i) sum[i] = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        __m256i w[2];
        Format::Unpack(block, k, w);
        const __m256i first = _mm256_set1_epi16(static_cast<int16_t>(0x0100 + 0x0404 * k));
        const __m256i second = _mm256_set1_epi16(static_cast<int16_t>(0x0302 + 0x0404 * k));
        const __m256i scale_low = _mm256_shuffle_epi8(scales, first);
        const __m256i scale_high = _mm256_shuffle_epi8(scales, second);
#pragma GCC unroll 4
        for (int i = 0; i < N; ++i) {
          sum[i] = ScaledDot(sum[i], w[0], x[i][b].q + 64 * k, scale_low);
          sum[i] = ScaledDot(sum[i], w[1], x[i][b].q + 64 * k + 32, scale_high);
        }
      }
      const float d = HalfToFloat(block.d);
      const float dmin = HalfToFloat(block.dmin);
      for (int i = 0; i < N; ++i) {
        const GroupX8K& g = x[i][b];
        const __m256 min_sum = _mm256_cvtepi32_ps(_mm256_madd_epi16(mins_twice, Load256(g.sum)));
        acc[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[i]), _mm256_set1_ps(d * g.d), acc[i]);
        acc_min[i] = _mm256_fmadd_ps(min_sum, _mm256_set1_ps(dmin * g.d), acc_min[i]);
      }
    }
    for (int i = 0; i < N; ++i) out[i] = Sum(acc[i]) - Sum(acc_min[i]);
  }
};

// ---- q6_k ----

struct Q6KKernel {
  using X = GroupX8K;
  static constexpr int kMaxRows = 4;

  // The 128 quants of a half, 0..63.
  static void Unpack(const BlockQ6K& block, int half, __m256i w[4]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i top = _mm256_set1_epi8(0x30);
    const __m256i low0 = Load256(block.ql + 64 * half);
    const __m256i low1 = Load256(block.ql + 64 * half + 32);
    const __m256i high = Load256(block.qh + 32 * half);
    w[0] = _mm256_or_si256(_mm256_and_si256(low0, nibble), _mm256_and_si256(_mm256_slli_epi16(high, 4), top));
    w[1] = _mm256_or_si256(_mm256_and_si256(low1, nibble), _mm256_and_si256(_mm256_slli_epi16(high, 2), top));
    w[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(low0, 4), nibble), _mm256_and_si256(high, top));
    w[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(low1, 4), nibble),
                           _mm256_and_si256(_mm256_srli_epi16(high, 2), top));
  }

  template <int N>
  static void Dot(const std::byte* row, const GroupX8K* const* x, int64_t cols, float* out) {
    __m256 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = _mm256_setzero_ps();
    const auto* blocks = reinterpret_cast<const BlockQ6K*>(row);
    for (int64_t b = 0; b < cols / 256; ++b) {
      const BlockQ6K& block = blocks[b];
      const __m256i scales = _mm256_cvtepi8_epi16(Load128(block.scales));
      __m256i sum[N];
      for (int i = 0; i < N; ++i) {
        const __m256i offset = _mm256_slli_epi32(_mm256_madd_epi16(scales, Load256(x[i][b].sum)), 5);
        sum[i] = _mm256_sub_epi32(_mm256_setzero_si256(), offset);
      }
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        __m256i w[4];
        Unpack(block, half, w);
        const __m256i mine = half == 0 ? _mm256_permute2x128_si256(scales, scales, 0x00)
                                       : _mm256_permute2x128_si256(scales, scales, 0x11);
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          // Scale 2k for the low 16 elements, 2k + 1 for the high ones.
          const __m128i low = _mm_set1_epi16(static_cast<int16_t>(0x0100 + 0x0404 * k));
          const __m128i high = _mm_set1_epi16(static_cast<int16_t>(0x0302 + 0x0404 * k));
          const __m256i index = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
          const __m256i scale = _mm256_shuffle_epi8(mine, index);
#pragma GCC unroll 4
          for (int i = 0; i < N; ++i) sum[i] = ScaledDot(sum[i], w[k], x[i][b].q + 128 * half + 32 * k, scale);
        }
      }
      const float d = HalfToFloat(block.d);
      for (int i = 0; i < N; ++i) {
        acc[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[i]), _mm256_set1_ps(d * x[i][b].d), acc[i]);
      }
    }
    for (int i = 0; i < N; ++i) out[i] = Sum(acc[i]);
  }
};

// ---- q8_0, q4_0 ----

struct UnpackQ8_0 {
  using Block = BlockQ8_0;
  static __m256i Unpack(const Block& block) { return Load256(block.q); }
};

struct UnpackQ4_0 {
  using Block = BlockQ4_0;
  static __m256i Unpack(const Block& block) {
    const __m128i raw = Load128(block.qs);
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(raw), _mm_srli_epi16(raw, 4), 1);
    return _mm256_sub_epi8(_mm256_and_si256(both, _mm256_set1_epi8(15)), _mm256_set1_epi8(8));
  }
};

template <typename Format>
struct ScaleKernel {
  using X = GroupX8;
  static constexpr int kMaxRows = 4;

  template <int N>
  static void Dot(const std::byte* row, const GroupX8* const* x, int64_t cols, float* out) {
    // Even and odd blocks apart: two chains hide the latency of the sums.
    __m256 acc[2][N];
    for (int i = 0; i < N; ++i) acc[0][i] = acc[1][i] = _mm256_setzero_ps();
    const auto* blocks = reinterpret_cast<const typename Format::Block*>(row);
    const int64_t n_blocks = cols / 32;
    int64_t b = 0;
    for (; b + 2 <= n_blocks; b += 2) {
      Block<N>(blocks[b], x, b, acc[0]);
      Block<N>(blocks[b + 1], x, b + 1, acc[1]);
    }
    if (b < n_blocks) Block<N>(blocks[b], x, b, acc[0]);
    for (int i = 0; i < N; ++i) out[i] = Sum(_mm256_add_ps(acc[0][i], acc[1][i]));
  }

  // |w| unsigned times x with the sign of w: 2 * 128 * 127 fits 16 bits.
  template <int N>
  static void Block(const typename Format::Block& block, const GroupX8* const* x, int64_t b, __m256* acc) {
    const __m256i w = Format::Unpack(block);
    const __m256i magnitude = _mm256_abs_epi8(w);
    const float d = HalfToFloat(block.d);
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) {
      const GroupX8& group = x[i][b / 8];
      const __m256i xq = Load256(group.q + 32 * (b % 8));
      const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(xq, w));
      const __m256 dot = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
      acc[i] = _mm256_fmadd_ps(dot, _mm256_set1_ps(d * group.d[b % 8]), acc[i]);
    }
  }
};

}  // namespace

void MatMulQ8_0(const MatMulTile& tile) { RunTile<ScaleKernel<UnpackQ8_0>>(tile); }
void MatMulQ4_0(const MatMulTile& tile) { RunTile<ScaleKernel<UnpackQ4_0>>(tile); }
void MatMulQ4K(const MatMulTile& tile) { RunTile<ScaleMinKernel<UnpackQ4K>>(tile); }
void MatMulQ5K(const MatMulTile& tile) { RunTile<ScaleMinKernel<UnpackQ5K>>(tile); }
void MatMulQ6K(const MatMulTile& tile) { RunTile<Q6KKernel>(tile); }

}  // namespace quern::kernels::avx2
