// Vectors as 16-bit integers with one scale each, such that products of two of them are exact in 32 bits.
//
// x becomes integers i, x ~ scale * i, with |i| <= 32767 and a Euclidean norm of at most 2^15.5. By Cauchy-Schwarz the
// sum of the products of two such vectors stays below 2^31, and so does each part of it: whatever the order, integer
// arithmetic gives the one exact sum.
//
// Rounding moves every element by at most scale / 2, so all of x by at most sqrt(n) / 2 / kFixedNorm of its own norm
// (or sqrt(n) / 2 / 32767 of its largest element): 1.2e-4 for n = 128, where f16, with 11 bits, allows 4.9e-4.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace quern::kernels {

inline constexpr float kFixedLargest = 32767;
// 2^15.5, less what rounding of at most 512 elements, sqrt(512) / 2, may add.
inline constexpr float kFixedNorm = 46328;
// What is larger becomes this, so that products of scales stay finite.
inline constexpr float kFixedRange = 1e9F;
// Vectors with a smaller scale are zero.
inline constexpr float kFixedLeastScale = 0x1p-100F;

// What is right; kernels make the same with KernelTable::to_fixed16.
class Fixed16 {
 public:
  // For x[0, n). A NaN among them makes the scale NaN and all integers 0.
  Fixed16(const float* x, size_t n) {
    constexpr size_t kSums = 8;  // of their own, so that the loop need not wait for each addition
    float sum[kSums] = {};
    float largest[kSums] = {};
    for (size_t i = 0; i < n; ++i) {
      const float v = Bounded(x[i]);
      sum[i % kSums] += v * v;
      largest[i % kSums] = std::max(largest[i % kSums], std::fabs(v));
    }
    for (size_t s = 1; s < kSums; ++s) {
      sum[0] += sum[s];
      largest[0] = std::max(largest[0], largest[s]);
    }
    scale_ = std::sqrt(sum[0]) / kFixedNorm;
    if (largest[0] / kFixedLargest > scale_) scale_ = largest[0] / kFixedLargest;
    inverse_ = scale_ >= kFixedLeastScale ? 1 / scale_ : 0;
  }

  float scale() const { return scale_; }

  int16_t Of(float x) const {
    const float rounded = std::nearbyint(Bounded(x) * inverse_);
    return std::isnan(rounded) ? int16_t{0} : static_cast<int16_t>(std::clamp(rounded, -kFixedLargest, kFixedLargest));
  }

 private:
  static float Bounded(float x) { return x > kFixedRange ? kFixedRange : x < -kFixedRange ? -kFixedRange : x; }

  float scale_;
  float inverse_;
};

}  // namespace quern::kernels
