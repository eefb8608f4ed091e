#include <immintrin.h>

#include "kernels/x86/exp_avx512-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {
namespace {

inline __mmask16 MaskFor(int64_t left) {
  return left >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1U << left) - 1);
}

// Up to 16 * n_vectors values; q must be zeroed beyond them. Returns the scale, as QuantizeBlock of the ref level.
template <int kVectors>
float QuantizeBlock(const float* x, int64_t n, int8_t* q) {
  __m512 v[kVectors];
  __m512i largest = _mm512_setzero_si512();
  for (int k = 0; k < kVectors; ++k) {
    const int64_t left = n - 16 * k;
    v[k] = left <= 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(MaskFor(left), x + 16 * k);
    // As integers magnitudes sort like floats, and infinities and NaN above all.
    largest = _mm512_max_epi32(largest, _mm512_and_si512(_mm512_castps_si512(v[k]), _mm512_set1_epi32(0x7FFFFFFF)));
  }
  const int bits = _mm512_reduce_max_epi32(largest);
  if (bits >= 0x7F800000) return __builtin_nanf("");
  float magnitude;
  __builtin_memcpy(&magnitude, &bits, sizeof(magnitude));
  if (magnitude < 1e-30F) return 0.0F;
  const __m512 inverse = _mm512_set1_ps(127.0F / magnitude);
  for (int k = 0; k < kVectors; ++k) {
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(v[k], inverse));
    _mm_storeu_si128(reinterpret_cast<__m128i_u*>(q + 16 * k), _mm512_cvtepi32_epi8(rounded));
  }
  return magnitude / 127.0F;
}

// Sums of 16 int8 each, four of them: pairs to 16 bits, then down to one number per 128-bit lane.
inline __m512i SumsOf4(const int8_t* q) {
  const __m512i bias = _mm512_set1_epi8(static_cast<char>(0x80));
  // Sum of absolute differences to zero works on unsigned bytes: add 128 to each, take 8 * 128 off.
  const __m512i sums = _mm512_sad_epu8(_mm512_xor_si512(_mm512_loadu_si512(q), bias), _mm512_setzero_si512());
  return _mm512_sub_epi64(sums, _mm512_set1_epi64(8 * 128));
}

}  // namespace

void ToX8(const float* x, int64_t n, GroupX8* out) {
  for (int64_t begin = 0; begin < n; begin += 256, ++out) {
    if (n - begin < 256) __builtin_memset(out, 0, sizeof(*out));
    for (int b = 0; b < 8 && begin + 32 * b < n; ++b) {
      int8_t* q = out->q + 32 * b;
      out->d[b] = QuantizeBlock<2>(x + begin + 32 * b, n - begin - 32 * b, q);
      if (!(out->d[b] > 0)) __builtin_memset(q, 0, 32);
    }
    for (int k = 0; k < 4; ++k) {
      alignas(64) int64_t sums[8];
      _mm512_store_si512(sums, SumsOf4(out->q + 64 * k));
      out->start[2 * k] = static_cast<int32_t>(-128 * (sums[0] + sums[1] + sums[2] + sums[3]));
      out->start[2 * k + 1] = static_cast<int32_t>(-128 * (sums[4] + sums[5] + sums[6] + sums[7]));
    }
  }
}

void ToX8K(const float* x, int64_t n, GroupX8K* out) {
  for (int64_t begin = 0; begin < n; begin += 256, ++out) {
    out->d = QuantizeBlock<16>(x + begin, n - begin, out->q);
    if (!(out->d > 0)) __builtin_memset(out->q, 0, 256);
    for (int k = 0; k < 4; ++k) {
      alignas(64) int64_t sums[8];
      _mm512_store_si512(sums, SumsOf4(out->q + 64 * k));
      for (int j = 0; j < 4; ++j) out->sum16[4 * k + j] = static_cast<int16_t>(sums[2 * j] + sums[2 * j + 1]);
      for (int j = 0; j < 2; ++j) {
        out->sum32[2 * k + j] = static_cast<int16_t>(sums[4 * j] + sums[4 * j + 1] + sums[4 * j + 2] + sums[4 * j + 3]);
      }
    }
    for (int j = 0; j < 16; ++j) out->start[j] = -32 * out->sum16[j];
    __builtin_memset(out->pad, 0, sizeof(out->pad));
  }
}

void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out) {
  __m512 squares = _mm512_setzero_ps();
  for (int64_t c = 0; c < n; c += 16) {
    const __m512 v = _mm512_maskz_loadu_ps(MaskFor(n - c), x + c);
    squares = _mm512_fmadd_ps(v, v, squares);
  }
  const float mean = _mm512_reduce_add_ps(squares) / static_cast<float>(n) + eps;
  const __m512 inverse = _mm512_set1_ps(1.0F / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean))));
  for (int64_t c = 0; c < n; c += 16) {
    const __mmask16 m = MaskFor(n - c);
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + c), inverse);
    _mm512_mask_storeu_ps(out + c, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, w + c), scaled));
  }
}

void SiluMul(const float* gate, const float* up, int64_t n, float* out) {
  const __m512 one = _mm512_set1_ps(1.0F);
  for (int64_t c = 0; c < n; c += 16) {
    const __mmask16 m = MaskFor(n - c);
    const __m512 g = _mm512_maskz_loadu_ps(m, gate + c);
    const __m512 down = _mm512_add_ps(one, Exp(_mm512_sub_ps(_mm512_setzero_ps(), g)));
    _mm512_mask_storeu_ps(out + c, m, _mm512_mul_ps(_mm512_div_ps(g, down), _mm512_maskz_loadu_ps(m, up + c)));
  }
}

void AddScaled(const float* x, float a, int64_t n, float* y) {
  const __m512 scale = _mm512_set1_ps(a);
  for (int64_t c = 0; c < n; c += 16) {
    const __mmask16 m = MaskFor(n - c);
    const __m512 sum = _mm512_fmadd_ps(scale, _mm512_maskz_loadu_ps(m, x + c), _mm512_maskz_loadu_ps(m, y + c));
    _mm512_mask_storeu_ps(y + c, m, sum);
  }
}

}  // namespace quern::kernels::avx512
