#include "kernels/fixed16.h"
#include "kernels/x86/vec_avx2-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {
namespace {

// Up to n of 8 * kVectors values to q; returns the scale, as QuantizeBlock of the ref level.
template <int kVectors>
float QuantizeBlock(const float* x, int64_t n, int8_t* q) {
  // As integers magnitudes sort like floats, and infinities and NaN above all.
  __m256i largest = _mm256_setzero_si256();
  const __m256i no_sign = _mm256_set1_epi32(0x7FFFFFFF);
  for (int64_t c = 0; c < n && c < 8 * kVectors; c += 8) {
    const __m256i bits = _mm256_castps_si256(_mm256_maskload_ps(x + c, LaneMask(n - c)));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, no_sign));
  }
  __m128i most = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4E));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0xB1));
  const int bits = _mm_cvtsi128_si32(most);
  __builtin_memset(q, 0, 8 * kVectors);
  if (bits >= 0x7F800000) return __builtin_nanf("");
  float magnitude;
  __builtin_memcpy(&magnitude, &bits, sizeof(magnitude));
  if (magnitude < 1e-30F) return 0.0F;
  const __m256 inverse = _mm256_set1_ps(127.0F / magnitude);
  for (int64_t c = 0; c < n && c < 8 * kVectors; c += 8) {
    const __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_maskload_ps(x + c, LaneMask(n - c)), inverse));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i_u*>(q + c), _mm_packs_epi16(words, words));
  }
  return magnitude / 127.0F;
}

// Sum of 16 int8.
inline int Sum16(const int8_t* q) {
  const __m256i pairs = _mm256_madd_epi16(_mm256_cvtepi8_epi16(Load128(q)), _mm256_set1_epi16(1));
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
  return _mm_cvtsi128_si32(sum);
}

// Fixed16's scale, of its eight sums of squares and largest magnitudes.
inline float FixedScale(__m256 sums, __m256 magnitudes) {
  alignas(32) float sum[8];
  alignas(32) float magnitude[8];
  _mm256_store_ps(sum, sums);
  _mm256_store_ps(magnitude, magnitudes);
  for (int i = 1; i < 8; ++i) {
    sum[0] += sum[i];
    if (magnitude[i] > magnitude[0]) magnitude[0] = magnitude[i];
  }
  const float by_norm = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(sum[0]))) / kFixedNorm;
  const float by_largest = magnitude[0] / kFixedLargest;
  return by_largest > by_norm ? by_largest : by_norm;
}

}  // namespace

void ToX8(const float* x, int64_t n, GroupX8* out) {
  for (int64_t begin = 0; begin < n; begin += 256, ++out) {
    if (n - begin < 256) __builtin_memset(out, 0, sizeof(*out));
    for (int b = 0; b < 8 && begin + 32 * b < n; ++b) {
      int8_t* q = out->q + 32 * b;
      out->d[b] = QuantizeBlock<4>(x + begin + 32 * b, n - begin - 32 * b, q);
      out->start[b] = -128 * (Sum16(q) + Sum16(q + 16));
    }
  }
}

void ToX8K(const float* x, int64_t n, GroupX8K* out) {
  for (int64_t begin = 0; begin < n; begin += 256, ++out) {
    out->d = QuantizeBlock<32>(x + begin, n - begin, out->q);
    for (int k = 0; k < 8; ++k) {
      const int first = Sum16(out->q + 32 * k);
      const int second = Sum16(out->q + 32 * k + 16);
      out->sum16[2 * k] = static_cast<int16_t>(first);
      out->sum16[2 * k + 1] = static_cast<int16_t>(second);
      out->sum32[k] = static_cast<int16_t>(first + second);
    }
    for (int j = 0; j < 16; ++j) out->start[j] = -32 * out->sum16[j];
    __builtin_memset(out->pad, 0, sizeof(out->pad));
  }
}

float ToFixed16(const float* x, int64_t n, int16_t* out) {
  // A NaN passes both bounds: it is the second operand.
  const auto bounded = [&](int64_t c) {
    const __m256 v = _mm256_maskload_ps(x + c, LaneMask(n - c));
    return _mm256_max_ps(_mm256_set1_ps(-kFixedRange), _mm256_min_ps(_mm256_set1_ps(kFixedRange), v));
  };
  const __m256 sign = _mm256_set1_ps(-0.0F);
  __m256 sums = _mm256_setzero_ps();
  __m256 largest = _mm256_setzero_ps();
  for (int64_t c = 0; c < n; c += 8) {
    const __m256 v = bounded(c);
    sums = _mm256_add_ps(sums, _mm256_mul_ps(v, v));
    largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, v));
  }
  const float scale = FixedScale(sums, largest);
  const __m256 inverse = _mm256_set1_ps(scale >= kFixedLeastScale ? 1 / scale : 0);
  const __m256 end = _mm256_set1_ps(kFixedLargest);
  for (int64_t c = 0; c < n; c += 8) {
    const __m256 product = _mm256_mul_ps(bounded(c), inverse);
    const __m256 number = _mm256_and_ps(product, _mm256_cmp_ps(product, product, _CMP_ORD_Q));
    const __m256 v = _mm256_max_ps(_mm256_sub_ps(_mm256_setzero_ps(), end), _mm256_min_ps(end, number));
    const __m256i rounded = _mm256_cvtps_epi32(v);
    _mm_storeu_si128(reinterpret_cast<__m128i_u*>(out + c),
                     _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1)));
  }
  return scale;
}

void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out) {
  __m256 even = _mm256_setzero_ps();
  for (int64_t c = 0; c < n; c += 8) {
    const __m256 v = _mm256_maskload_ps(x + c, LaneMask(n - c));
    even = _mm256_fmadd_ps(v, v, even);
  }
  const float mean = Sum(even) / static_cast<float>(n) + eps;
  const __m256 inverse = _mm256_set1_ps(1.0F / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean))));
  for (int64_t c = 0; c < n; c += 8) {
    const __m256i m = LaneMask(n - c);
    const __m256 scaled = _mm256_mul_ps(_mm256_maskload_ps(x + c, m), inverse);
    _mm256_maskstore_ps(out + c, m, _mm256_mul_ps(_mm256_maskload_ps(w + c, m), scaled));
  }
}

void SiluMul(const float* gate, const float* up, int64_t n, float* out) {
  const __m256 one = _mm256_set1_ps(1.0F);
  for (int64_t c = 0; c < n; c += 8) {
    const __m256i m = LaneMask(n - c);
    const __m256 g = _mm256_maskload_ps(gate + c, m);
    const __m256 down = _mm256_add_ps(one, Exp(_mm256_sub_ps(_mm256_setzero_ps(), g)));
    _mm256_maskstore_ps(out + c, m, _mm256_mul_ps(_mm256_div_ps(g, down), _mm256_maskload_ps(up + c, m)));
  }
}

void AddScaled(const float* x, float a, int64_t n, float* y) {
  const __m256 scale = _mm256_set1_ps(a);
  for (int64_t c = 0; c < n; c += 8) {
    const __m256i m = LaneMask(n - c);
    _mm256_maskstore_ps(y + c, m, _mm256_fmadd_ps(scale, _mm256_maskload_ps(x + c, m), _mm256_maskload_ps(y + c, m)));
  }
}

}  // namespace quern::kernels::avx2
