#include "kernels/scale_search.h"

#include <cmath>
#include <initializer_list>

namespace quern::kernels {
namespace {

// The largest element is put at a fraction of a step around the end of the range: rounding the others differently is
// what makes the roundings differ. 19 or 21 of them; more gain less than a thousandth of the error.
constexpr int kShifts = 9;
constexpr float kShiftStep = 0.1F;

float Extreme(const float* x, int n) {  // the element of largest magnitude, with its sign
  float extreme = 0;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  return extreme;
}

// The best scale for given integers, and how much of sum w x^2 it explains.
struct Candidate {
  float wxq = 0;
  float wqq = 0;

  void Add(float x, float w, float q) {
    wxq += w * x * q;
    wqq += w * q * q;
  }
  bool ExplainsMoreThan(float gain) const { return wqq > 0 && wxq * wxq > gain * wqq; }
  float gain() const { return wxq * wxq / wqq; }
  float scale() const { return wxq / wqq; }
};

}  // namespace

float FitScale(const float* x, const float* w, int n, int lo, int hi) {
  const float extreme = Extreme(x, n);
  if (InverseOf(extreme) == 0) return 0;
  const auto low = static_cast<float>(lo);
  const auto high = static_cast<float>(hi);
  float best_gain = 0;
  float best = extreme / low;
  for (int shift = -kShifts; shift <= kShifts; ++shift) {
    const float inverse = (low + kShiftStep * static_cast<float>(shift)) / extreme;
    Candidate candidate;
    for (int i = 0; i < n; ++i) candidate.Add(x[i], w[i], NearestIn(x[i] * inverse, low, high));
    if (!candidate.ExplainsMoreThan(best_gain)) continue;
    best_gain = candidate.gain();
    best = candidate.scale();
  }
  return best;
}

float FitTableScale(const float* x, const float* w, int n, const int8_t (&table)[16]) {
  const float extreme = Extreme(x, n);
  if (InverseOf(extreme) == 0) return 0;
  float best_gain = 0;
  float best = extreme / static_cast<float>(table[0]);
  // The table is not symmetric: the largest element may stand at either end of it.
  for (const int end : {0, 15}) {
    const float step = kShiftStep * static_cast<float>(table[15] - table[14]);
    for (int shift = -kShifts; shift <= kShifts; ++shift) {
      const float inverse = (static_cast<float>(table[end]) + step * static_cast<float>(shift)) / extreme;
      Candidate candidate;
      for (int i = 0; i < n; ++i) {
        candidate.Add(x[i], w[i], static_cast<float>(table[NearestIndex(x[i] * inverse, table)]));
      }
      if (!candidate.ExplainsMoreThan(best_gain)) continue;
      best_gain = candidate.gain();
      best = candidate.scale();
    }
  }
  return best;
}

float ScaleError(const float* x, const float* w, int n, float scale, int lo, int hi) {
  const float inverse = InverseOf(scale);
  float error = 0;
  for (int i = 0; i < n; ++i) {
    const float q = NearestIn(x[i] * inverse, static_cast<float>(lo), static_cast<float>(hi));
    const float d = x[i] - scale * q;
    error += w[i] * d * d;
  }
  return error;
}

ScaleMin FitScaleAndMin(const float* x, const float* w, int n, int hi) {
  float bottom = 0;  // a minimum above 0 cannot be stored
  float top = x[0];
  for (int i = 0; i < n; ++i) {
    bottom = x[i] < bottom ? x[i] : bottom;
    top = x[i] > top ? x[i] : top;
  }
  const auto high = static_cast<float>(hi);
  ScaleMin best{.scale = (top - bottom) / high, .min = -bottom};
  if (InverseOf(top - bottom) == 0) return {.scale = 0, .min = -bottom};
  float best_error = ScaleMinError(x, w, n, best, hi);
  for (int shift = -kShifts; shift <= kShifts + 2; ++shift) {
    const float inverse = (high + kShiftStep * static_cast<float>(shift)) / (top - bottom);
    float sw = 0, swq = 0, swqq = 0, swx = 0, swxq = 0;
    for (int i = 0; i < n; ++i) {
      const float q = NearestIn((x[i] - bottom) * inverse, 0, high);
      sw += w[i];
      swq += w[i] * q;
      swqq += w[i] * q * q;
      swx += w[i] * x[i];
      swxq += w[i] * x[i] * q;
    }
    const float determinant = sw * swqq - swq * swq;
    if (!(determinant > 0)) continue;
    ScaleMin fit{.scale = (sw * swxq - swx * swq) / determinant, .min = (swq * swxq - swqq * swx) / determinant};
    if (fit.min < 0) fit = {.scale = swxq / swqq, .min = 0};
    if (!(fit.scale > 0)) continue;
    const float error = ScaleMinError(x, w, n, fit, hi);
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

float ScaleMinError(const float* x, const float* w, int n, const ScaleMin& fit, int hi) {
  const float inverse = InverseOf(fit.scale);
  float error = 0;
  for (int i = 0; i < n; ++i) {
    const float q = NearestIn((x[i] + fit.min) * inverse, 0, static_cast<float>(hi));
    const float d = x[i] - (fit.scale * q - fit.min);
    error += w[i] * d * d;
  }
  return error;
}

}  // namespace quern::kernels
