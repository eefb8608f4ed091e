#include "kernels/x86/attention-inl.h"
#include "kernels/x86/vec_avx2-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels {
namespace {

struct Simd256 {
  using F = __m256;
  using I = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kQueries = 4;  // times two accumulators: 8 of 16 registers, what hides an FMA's latency

  static F Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F Set1(float v) { return _mm256_set1_ps(v); }
  static F Zero() { return _mm256_setzero_ps(); }
  static F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F Max(F a, F b) { return _mm256_max_ps(a, b); }
  static F Exp(F v) { return kernels::Exp(v); }
  static __m256i First(int n) { return LaneMask(n); }
  static F Select(__m256i m, F a, F b) { return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m)); }
  static float ReduceMax(F v) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static float ReduceAdd(F v) { return Sum(v); }
  static bool AnyAbove(F v, float limit) { return _mm256_movemask_ps(_mm256_cmp_ps(v, Set1(limit), _CMP_GT_OQ)) != 0; }

  static I LoadI(const std::byte* p) { return Load256(p); }
  static I ZeroI() { return _mm256_setzero_si256(); }
  static I SetPair(const int16_t* p) {
    int32_t both;
    __builtin_memcpy(&both, p, sizeof(both));
    return _mm256_set1_epi32(both);
  }
  static I Dot(I c, I a, I b) { return _mm256_add_epi32(c, _mm256_madd_epi16(a, b)); }
  static F ToFloat(I v) { return _mm256_cvtepi32_ps(v); }

  static F FromF16(const std::byte* p) { return _mm256_cvtph_ps(Load128(p)); }
  static void StoreI16(int16_t* to, F v) {
    const I wide = _mm256_cvtps_epi32(v);
    const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i_u*>(to), narrow);
  }
  static I FirstOfPairs(I x) { return _mm256_and_si256(x, _mm256_set1_epi32(0xFFFF)); }
  static F First16(I x) { return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16)); }
  static F Second16(I x) { return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(-0x10000))); }
  static F DotBf16(F c, I a, I b) { return Fma(First16(a), First16(b), Fma(Second16(a), Second16(b), c)); }
  static F StoreBf16(uint16_t* to, F v) {
    const I bits = _mm256_castps_si256(v);
    const I odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const I rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const I high = _mm256_srli_epi32(rounded, 16);
    const __m128i narrow = _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i_u*>(to), narrow);
    return Second16(rounded);
  }
  static float OneF16(uint16_t bits) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits))); }

  template <int kPair>
  static I SignedPairs(I x) {
    return _mm256_srai_epi16(kPair == 0 ? _mm256_slli_epi16(x, 8) : x, 8);
  }
  template <int kPair>
  static I NibblePairs(I x) {
    const I nibbles = _mm256_and_si256(_mm256_srli_epi16(x, 4 * kPair), _mm256_set1_epi16(15));
    return _mm256_sub_epi16(nibbles, _mm256_set1_epi16(8));
  }

  static F FromI8(const std::byte* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i_u*>(p))));
  }
  // d is 0 or 16: the group's low nibbles or its high ones.
  static void FromNibbles(const std::byte* p, int d, F& v0, F& v1) {
    const __m128i bytes = Load128(p);
    const __m128i nibbles = _mm_and_si128(d == 0 ? bytes : _mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    const __m128i values = _mm_sub_epi8(nibbles, _mm_set1_epi8(8));
    v0 = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(values));
    v1 = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(values, values)));
  }
};

}  // namespace

namespace avx2 {

void Attention(const AttentionTile& tile) { RunAttention<Simd256>(tile); }

}  // namespace avx2
}  // namespace quern::kernels
