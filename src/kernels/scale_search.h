// The fits behind kernels/quantize.h. Private to it.
#pragma once

#include <cstdint>

namespace quern::kernels {

inline constexpr int kMaxFitElements = 32;

// Nearest integer, ties to even, for |v| below 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
inline float Nearest(float v) {
  constexpr float kShift = 12582912.0F;
  return (v + kShift) - kShift;
}

inline float Clamp(float v, float lo, float hi) { return v < lo ? lo : v > hi ? hi : v; }

// The integer in [lo, hi] nearest to v; v may be anything finite.
inline float NearestIn(float v, float lo, float hi) { return Nearest(Clamp(v, lo, hi)); }

// What to multiply by instead of dividing by scale; 0 for a scale so small that its block is all zeros in any f16.
inline float InverseOf(float scale) {
  constexpr float kSmallest = 1e-30F;
  return scale > kSmallest || scale < -kSmallest ? 1 / scale : 0;
}

// x ~ scale * q with integers q in [lo, hi], lo < 0 < hi: the scale (of either sign) with the least weighted squared
// error among the roundings tried; 0 when x is 0. n at most kMaxFitElements, w >= 0.
float FitScale(const float* x, const float* w, int n, int lo, int hi);

// Weighted squared error of x ~ scale * q, q the best integers in [lo, hi].
float ScaleError(const float* x, const float* w, int n, float scale, int lo, int hi);

// The index of the table's value nearest to v, the lower one of two. table ascends.
inline int NearestIndex(float v, const int8_t (&table)[16]) {
  int index = 0;
  for (int i = 0; i + 1 < 16; ++i) index += 2 * v > static_cast<float>(table[i] + table[i + 1]) ? 1 : 0;
  return index;
}

// x ~ scale * table[index], as FitScale. table ascends from below 0 to above it.
float FitTableScale(const float* x, const float* w, int n, const int8_t (&table)[16]);

struct ScaleMin {
  float scale = 0;  // >= 0
  float min = 0;    // >= 0
};

// x ~ scale * q - min with integers q in [0, hi].
ScaleMin FitScaleAndMin(const float* x, const float* w, int n, int hi);

// Weighted squared error of x ~ fit.scale * q - fit.min, q the best integers in [0, hi].
float ScaleMinError(const float* x, const float* w, int n, const ScaleMin& fit, int hi);

}  // namespace quern::kernels
