#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

TEST(RmsNorm, EveryLevelMatchesTheFormula) {
  for (const Isa isa : OfferedIsas()) {
    for (const int64_t n : {1, 7, 16, 33, 128, 2048}) {
      const auto x = NormalFloats(static_cast<size_t>(n), 3);
      const auto w = NormalFloats(static_cast<size_t>(n), 4);
      std::vector<float> y(x);
      TableFor(isa)->rms_norm(y.data(), w.data(), n, 1e-6F, y.data());
      double squares = 0;
      for (const float v : x) squares += static_cast<double>(v) * static_cast<double>(v);
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-6);
      for (size_t i = 0; i < y.size(); ++i) {
        const double expected = static_cast<double>(w[i]) * static_cast<double>(x[i]) * inverse;
        // Each of the few f32 roundings adds at most 6e-8; the sum of squares up to a few 1e-7 in plain order.
        ASSERT_NEAR(y[i], expected, 4e-6 * std::fabs(expected) + 1e-12) << IsaName(isa) << " n " << n;
      }
    }
  }
}

TEST(SiluMul, SweepsTheWholeRangeOfExp) {
  std::vector<float> gate;
  for (float g = -120; g <= 120; g += 0.0137F) gate.push_back(g);
  const std::vector<float> up(gate.size(), 1.0F);
  for (const Isa isa : OfferedIsas()) {
    std::vector<float> out(gate.size());
    TableFor(isa)->silu_mul(gate.data(), up.data(), static_cast<int64_t>(gate.size()), out.data());
    for (size_t i = 0; i < gate.size(); ++i) {
      const double g = static_cast<double>(gate[i]);
      const double expected = g / (1 + std::exp(-g));
      // 2e-7 of exp plus two roundings; where exp is clamped the value is below 1e-36 either way.
      ASSERT_NEAR(out[i], expected, 4e-7 * std::fabs(expected) + 1e-35) << IsaName(isa) << " gate " << gate[i];
    }
    float nan = NAN;
    TableFor(isa)->silu_mul(&nan, up.data(), 1, out.data());
    EXPECT_TRUE(std::isnan(out[0]));
  }
}

TEST(AddScaled, AddsAtEveryLength) {
  for (const Isa isa : OfferedIsas()) {
    for (int64_t n = 1; n < 70; ++n) {
      const auto x = NormalFloats(static_cast<size_t>(n), 3);
      auto y = NormalFloats(static_cast<size_t>(n) + 1, 4);
      const auto before = y;
      TableFor(isa)->add_scaled(x.data(), 0.3F, n, y.data());
      for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(y[i], before[i] + 0.3F * x[i], 1e-6F);
      ASSERT_EQ(y.back(), before.back());
    }
  }
}

TEST(PreparedRows, EveryLevelMakesTheSameIntegersAndScales) {
  for (const Isa isa : OfferedIsas()) {
    for (const int64_t n : {1, 31, 32, 96, 256, 300, 2048}) {
      auto x = NormalFloats(static_cast<size_t>(n), 8);
      for (const float special : {0.0F, 1e-38F, 3e38F, INFINITY, NAN}) {
        x[static_cast<size_t>(n / 2)] = special;
        const auto groups = static_cast<size_t>((n + 255) / 256);
        std::vector<GroupX8> a(groups), b(groups);
        TableFor(Isa::kRef)->to_x8(x.data(), n, a.data());
        TableFor(isa)->to_x8(x.data(), n, b.data());
        std::vector<GroupX8K> c(groups), d(groups);
        TableFor(Isa::kRef)->to_x8k(x.data(), n, c.data());
        TableFor(isa)->to_x8k(x.data(), n, d.data());
        EXPECT_EQ(0, std::memcmp(a.data(), b.data(), groups * sizeof(GroupX8))) << IsaName(isa) << " n " << n;
        EXPECT_EQ(0, std::memcmp(c.data(), d.data(), groups * sizeof(GroupX8K))) << IsaName(isa) << " n " << n;
        std::vector<int16_t> g((static_cast<size_t>(n) + 7) / 8 * 8, 1), h(g.size(), 2);
        const float scales[2] = {TableFor(Isa::kRef)->to_fixed16(x.data(), n, g.data()),
                                 TableFor(isa)->to_fixed16(x.data(), n, h.data())};
        EXPECT_EQ(std::bit_cast<uint32_t>(scales[0]), std::bit_cast<uint32_t>(scales[1])) << IsaName(isa) << " n " << n;
        EXPECT_EQ(g, h) << IsaName(isa) << " n " << n;
        std::vector<uint16_t> e((static_cast<size_t>(n) + 31) / 32 * 32, 1), f(e.size(), 2);
        TableFor(Isa::kRef)->to_bf16(x.data(), n, e.data());
        TableFor(isa)->to_bf16(x.data(), n, f.data());
        EXPECT_EQ(e, f) << IsaName(isa) << " n " << n;
      }
    }
  }
}

TEST(PreparedRows, ValuesComeBackWithinHalfAStep) {
  const auto x = NormalFloats(512, 8);
  std::vector<GroupX8K> k(2);
  Kernels().to_x8k(x.data(), 512, k.data());
  std::vector<GroupX8> q(2);
  Kernels().to_x8(x.data(), 512, q.data());
  for (size_t i = 0; i < 512; ++i) {
    const GroupX8K& g = k[i / 256];
    ASSERT_NEAR(g.d * static_cast<float>(g.q[i % 256]), x[i], 0.5001F * g.d);
    const float d = q[i / 256].d[i % 256 / 32];
    ASSERT_NEAR(d * static_cast<float>(q[i / 256].q[i % 256]), x[i], 0.5001F * d);
  }
}

TEST(Rope, RotatesHalvesAndLeavesTheRest) {
  std::vector<float> heads = {1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60};
  const std::vector<float> cos = {0.6F, 1.0F};
  const std::vector<float> sin = {0.8F, 0.0F};
  Rope(heads.data(), 2, 6, cos, sin);
  const std::vector<float> expected = {0.6F - 2.4F, 2, 1.8F + 0.8F, 4, 5, 6, 6 - 24, 20, 18 + 8, 40, 50, 60};
  for (size_t i = 0; i < heads.size(); ++i) EXPECT_NEAR(heads[i], expected[i], 1e-5F);
}

TEST(SelectExperts, TakesTheLargestAndTheLowerIndexOfEquals) {
  const std::vector<float> logits = {0.5F, 2.0F, -1.0F, 2.0F, 1.0F};
  std::vector<RoutedExpert> chosen(3);
  SelectExperts(logits, false, chosen);
  EXPECT_EQ(chosen[0].expert, 1);
  EXPECT_EQ(chosen[1].expert, 3);
  EXPECT_EQ(chosen[2].expert, 4);
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v));
  EXPECT_NEAR(chosen[0].weight, std::exp(2.0) / sum, 1e-6);
  SelectExperts(logits, true, chosen);
  EXPECT_NEAR(chosen[0].weight + chosen[1].weight + chosen[2].weight, 1.0, 1e-6);
  const std::vector<float> broken = {NAN, NAN, NAN};
  std::vector<RoutedExpert> two(2);
  SelectExperts(broken, true, two);
  EXPECT_EQ(two[0].expert, 0);
  EXPECT_EQ(two[1].expert, 1);
}

TEST(ArgMax, PrefersTheLowestIndexAndNeverNan) {
  EXPECT_EQ(ArgMax(std::vector<float>{NAN, 1, 3, 3, 2}), 2);
  EXPECT_EQ(ArgMax(std::vector<float>{NAN, -INFINITY}), 1);
  EXPECT_EQ(ArgMax(std::vector<float>{NAN, NAN}), 0);
}

TEST(Softmax, SumsToOneAndKeepsProportions) {
  std::vector<float> x = {1000, 1001, 999};
  Softmax(x);
  EXPECT_NEAR(x[0] + x[1] + x[2], 1.0F, 1e-6F);
  EXPECT_NEAR(x[1] / x[0], std::exp(1.0F), 1e-5F);
}

}  // namespace
}  // namespace quern::kernels
