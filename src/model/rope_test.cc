#include "model/rope.h"

#include <gtest/gtest.h>

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
