#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace quern::model {

YarnRange YarnRangeOf(const YarnScaling& yarn, int rotary_dims, double rope_theta) {
  // The pair that turns n times over the original context.
  const auto pair_of = [&](double n) {
    return rotary_dims * std::log(yarn.original_context / (n * 2 * std::numbers::pi)) / (2 * std::log(rope_theta));
  };
  YarnRange range{.low = std::max(std::floor(pair_of(yarn.beta_fast)), 0.0),
                  .high = std::min(std::ceil(pair_of(yarn.beta_slow)), static_cast<double>(rotary_dims - 1))};
  if (range.low == range.high) range.high += 0.001;
  return range;
}

RopeTable::RopeTable(const ModelConfig& config) : frequencies_(static_cast<size_t>(config.RotaryDims() / 2)) {
  const auto dims = static_cast<float>(config.RotaryDims());
  const auto base = static_cast<float>(config.rope_theta);
  const auto period = [&](size_t i) {
    return static_cast<float>(
        std::pow(static_cast<double>(base), static_cast<double>(static_cast<float>(2 * i) / dims)));
  };
  for (size_t i = 0; i < frequencies_.size(); ++i) frequencies_[i] = 1.0F / period(i);
  if (!config.yarn) return;

  const YarnScaling& yarn = *config.yarn;
  const YarnRange range = YarnRangeOf(yarn, config.RotaryDims(), config.rope_theta);
  const auto low = static_cast<float>(range.low);
  const auto width = static_cast<float>(range.high - range.low);
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const float ramp = std::clamp((static_cast<float>(i) - low) / width, 0.0F, 1.0F);
    const float kept = 1.0F - ramp;
    const float stretched = 1.0F / (static_cast<float>(yarn.factor) * period(i));
    frequencies_[i] = stretched * (1.0F - kept) + frequencies_[i] * kept;
  }
  const double plain = yarn.factor <= 1 ? 1.0 : 0.1 * std::log(yarn.factor) + 1.0;
  magnitude_ = static_cast<float>(yarn.attention_factor.value_or(plain));
}

void RopeTable::Fill(int position, float* cos, float* sin) const {
  const auto at = static_cast<float>(position);  // exact below 2^24, the limit of context_length
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const double angle = static_cast<double>(at * frequencies_[i]);
    cos[i] = static_cast<float>(std::cos(angle)) * magnitude_;
    sin[i] = static_cast<float>(std::sin(angle)) * magnitude_;
  }
}

}  // namespace quern::model
