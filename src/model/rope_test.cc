#include "model/rope.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <boost/json.hpp>
#include <cmath>

#include "base/json.h"
#include "base/os/mapped_file.h"

namespace quern::model {
namespace {

ModelConfig Shape(int head_dim, double base, int original, double factor) {
  ModelConfig config;
  config.head_dim = head_dim;
  config.rope_theta = base;
  config.context_length = original;
  if (factor > 0) config.yarn = YarnScaling{.factor = factor, .original_context = original};
  return config;
}

TEST(Rope, YarnBoundariesOfThePublishedModels) {
  struct Row {
    int head_dim;
    double base;
    int original;
    double low, high;
  };
  // Qwen2.5-Coder, its 0.5B, Qwen3-Coder, and Coder-Next's rotary part.
  for (const Row& row : {Row{128, 1e6, 32768, 23, 40},
                         {64, 1e6, 32768, 11, 20},
                         {128, 1e7, 262144, 28, 43},
                         {64, 5e6, 262144, 14, 23}}) {
    const YarnRange range = YarnRangeOf({.factor = 4, .original_context = row.original}, row.head_dim, row.base);
    EXPECT_EQ(range.low, row.low) << row.head_dim << " " << row.base;
    EXPECT_EQ(range.high, row.high) << row.head_dim << " " << row.base;
  }
}

TEST(Rope, YarnFastPairsStaySlowOnesStretch) {
  const RopeTable plain(Shape(128, 1e7, 262144, 0));
  const RopeTable yarn(Shape(128, 1e7, 262144, 4));
  EXPECT_FLOAT_EQ(yarn.magnitude(), 1.1386294F);
  EXPECT_EQ(plain.magnitude(), 1.0F);
  for (size_t i = 0; i < 64; ++i) {
    const float ratio = plain.frequencies()[i] / yarn.frequencies()[i];
    if (i <= 28) {
      EXPECT_FLOAT_EQ(ratio, 1.0F) << i;
    } else if (i >= 43) {
      EXPECT_FLOAT_EQ(ratio, 4.0F) << i;
    } else {
      EXPECT_GT(ratio, 1.0F) << i;
      EXPECT_LT(ratio, 4.0F) << i;
    }
  }
}

TEST(Rope, AFactorOfAtMostOneAndAnAttentionFactorOfItsOwn) {
  ModelConfig config = Shape(64, 1e6, 32768, 1.0);
  EXPECT_EQ(RopeTable(config).magnitude(), 1.0F);
  config.yarn->factor = 4;
  config.yarn->attention_factor = 0.75;
  EXPECT_EQ(RopeTable(config).magnitude(), 0.75F);
}

// The formula of the YaRN paper and of the published configurations, in double.
struct Exact {
  std::vector<double> frequencies;
  double magnitude = 1;

  Exact(int dims, double base, int original, double factor) : frequencies(static_cast<size_t>(dims / 2)) {
    const auto dim_of = [&](double turns) {
      return dims * std::log(original / (2 * M_PI * turns)) / (2 * std::log(base));
    };
    const double low = std::max(std::floor(dim_of(32)), 0.0);
    double high = std::min(std::ceil(dim_of(1)), dims - 1.0);
    if (low == high) high += 0.001;
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double theta = std::pow(base, -2.0 * static_cast<double>(i) / dims);
      const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
      frequencies[i] = factor > 0 ? theta * (1 - ramp) + theta / factor * ramp : theta;
    }
    if (factor > 1) magnitude = 0.1 * std::log(factor) + 1;
  }
};

// Every architecture's rotary part, plain and stretched, at both ends of each range. The reference multiplies position
// and frequency in f32, and so do we: an angle may be off by some units of its own last place (at position 2^20 and the
// fastest dimension that is a hundredth of a turn), never by more.
TEST(Rope, PositionsUpToAMillionFollowTheFormula) {
  struct Row {
    const char* name;
    int head_dim, rotary_dims;
    double base;
    int original;
    double factor;
  };
  for (const Row& row : {Row{"qwen2", 128, 0, 1e6, 32768, 0},
                         {"qwen2 x32", 128, 0, 1e6, 32768, 32},
                         {"qwen2 0.5B x4", 64, 0, 1e6, 32768, 4},
                         {"qwen3_moe", 128, 0, 1e7, 262144, 0},
                         {"qwen3_moe x4", 128, 0, 1e7, 262144, 4},
                         {"qwen3_next", 256, 64, 5e6, 262144, 0},
                         {"qwen3_next x4", 256, 64, 5e6, 262144, 4}}) {
    SCOPED_TRACE(row.name);
    ModelConfig config = Shape(row.head_dim, row.base, row.original, row.factor);
    config.n_rotary_dims = row.rotary_dims;
    const RopeTable table(config);
    const Exact exact(config.RotaryDims(), row.base, row.original, row.factor);
    ASSERT_EQ(static_cast<size_t>(table.n_pairs()), exact.frequencies.size());
    for (size_t i = 0; i < exact.frequencies.size(); ++i) {
      EXPECT_NEAR(table.frequencies()[i], exact.frequencies[i], 4 * 0x1p-24 * exact.frequencies[i]) << i;
    }
    std::vector<float> cos(exact.frequencies.size()), sin(exact.frequencies.size());
    for (const int position : {0, 1, 2, 4095, 32767, 32768, 131071, 262143, 262144, 524287, 1000003, 1048575}) {
      table.Fill(position, cos.data(), sin.data());
      for (size_t i = 0; i < cos.size(); ++i) {
        const double angle = position * exact.frequencies[i];
        const double tolerance = exact.magnitude * (5 * 0x1p-24 * angle + 0x1p-22);
        ASSERT_NEAR(cos[i], exact.magnitude * std::cos(angle), tolerance) << "position " << position << " pair " << i;
        ASSERT_NEAR(sin[i], exact.magnitude * std::sin(angle), tolerance) << "position " << position << " pair " << i;
      }
    }
  }
}

TEST(Rope, FrequenciesAndAnglesEqualTheReference) {
  const auto text = os::ReadTextFile("tests/golden/rope.json", 1 << 20);
  ASSERT_TRUE(text.has_value()) << text.error().ToString();
  const auto golden = ParseJson(*text);
  ASSERT_TRUE(golden.has_value()) << golden.error().ToString();
  const auto float_of = [](const boost::json::value& bits) {
    return std::bit_cast<float>(static_cast<int32_t>(bits.as_int64()));
  };
  int n_off_by_one = 0;
  for (const auto& shape : golden->at("shapes").as_array()) {
    SCOPED_TRACE(boost::json::serialize(shape.at("name")));
    const RopeTable table(Shape(static_cast<int>(shape.at("head_dim").as_int64()), shape.at("base").to_number<double>(),
                                static_cast<int>(shape.at("original").as_int64()),
                                shape.at("factor").to_number<double>()));
    EXPECT_FLOAT_EQ(table.magnitude(), shape.at("magnitude").to_number<float>());
    const auto& frequencies = shape.at("frequencies").as_array();
    ASSERT_EQ(static_cast<size_t>(table.n_pairs()), frequencies.size());
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const float expected = float_of(frequencies[i]);
      n_off_by_one += table.frequencies()[i] != expected ? 1 : 0;
      EXPECT_LE(std::fabs(table.frequencies()[i] - expected), std::nextafter(expected, 2.0F) - expected)
          << "pair " << i;
    }
    const auto& positions = golden->at("positions").as_array();
    std::vector<float> cos(frequencies.size()), sin(frequencies.size());
    for (size_t p = 0; p < positions.size(); ++p) {
      table.Fill(static_cast<int>(positions[p].as_int64()), cos.data(), sin.data());
      for (size_t i = 0; i < cos.size(); ++i) {
        // Twice: the product with the position is rounded to f32 as well.
        const double bit_off = std::fabs(double{table.frequencies()[i]} - float_of(frequencies[i]));
        const double tolerance = 2.5e-7 + 2 * bit_off * positions[p].to_number<double>();
        EXPECT_NEAR(cos[i], float_of(shape.at("cos").as_array()[p].as_array()[i]), tolerance) << positions[p];
        EXPECT_NEAR(sin[i], float_of(shape.at("sin").as_array()[p].as_array()[i]), tolerance) << positions[p];
      }
    }
  }
  // The reference's vectorised power is not always rounded to nearest; ours is.
  EXPECT_LE(n_off_by_one, 2);
}

}  // namespace
}  // namespace quern::model
