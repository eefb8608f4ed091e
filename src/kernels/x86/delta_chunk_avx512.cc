#include <immintrin.h>

#include "kernels/x86/delta_chunk-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {
namespace {

struct Vec {
  using T = __m512;
  static constexpr int kLanes = 16;
  static __mmask16 First(int n) { return static_cast<__mmask16>((1U << n) - 1); }
  static T Load(const float* p) { return _mm512_loadu_ps(p); }
  static T LoadPart(const float* p, int n) { return _mm512_maskz_loadu_ps(First(n), p); }
  static void Store(float* p, T v) { _mm512_storeu_ps(p, v); }
  static void StorePart(float* p, int n, T v) { _mm512_mask_storeu_ps(p, First(n), v); }
  static T Set(float v) { return _mm512_set1_ps(v); }
  static T Zero() { return _mm512_setzero_ps(); }
  static T Sub(T a, T b) { return _mm512_sub_ps(a, b); }
  static T Mul(T a, T b) { return _mm512_mul_ps(a, b); }
  static T Fma(T a, T b, T c) { return _mm512_fmadd_ps(a, b, c); }
  static float Sum(T v) { return _mm512_reduce_add_ps(v); }
};

}  // namespace

// Eight vectors are a whole row of 128 columns, in the order of memory however many rows there are.
void DeltaChunk(const DeltaChunkTile& tile) { RunDeltaChunk<Vec, 4, 16>(tile); }
void DeltaProducts(const DeltaProductsTile& tile) { RunDeltaProducts<Vec>(tile); }

}  // namespace quern::kernels::avx512
