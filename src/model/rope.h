// The angles of the rotary embedding, plain or scaled by YaRN.
#pragma once

#include <span>
#include <vector>

#include "model/config.h"

namespace quern::model {

// Frequencies of one model. Const after construction, thread-safe.
//
// Computed in f32 step by step as the reference does (power, reciprocal, angle = position * frequency): at position
// 1,000,000 a difference in the last bit of a frequency turns the fast dimensions by several hundredths of a radian.
class RopeTable {
 public:
  explicit RopeTable(const ModelConfig& config);

  int n_pairs() const { return static_cast<int>(frequencies_.size()); }  // rotary dims / 2
  std::span<const float> frequencies() const { return frequencies_; }    // [n_pairs], YaRN applied
  float magnitude() const { return magnitude_; }                         // factor on cos and sin; 1 without YaRN

  // cos, sin: [n_pairs] out.
  void Fill(int position, float* cos, float* sin) const;

 private:
  std::vector<float> frequencies_;
  float magnitude_ = 1.0F;
};

// First and last pair of YaRN's ramp: below low frequencies stay, from high on they are divided by the factor.
struct YarnRange {
  double low;
  double high;
};
YarnRange YarnRangeOf(const YarnScaling& yarn, int rotary_dims, double rope_theta);

}  // namespace quern::model
