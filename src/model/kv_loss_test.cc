#include "model/kv_loss.h"

#include <gtest/gtest.h>

#include "model/golden_case.h"

namespace quern::model {
namespace {

using enum kernels::KvType;

TEST(KvLoss, GrowsAsBitsAreTakenAway) {
  for (const char* name : {"qwen2_untied", "qwen3_moe_untied", "qwen3_next_untied"}) {
    SCOPED_TRACE(name);
    const Runner runner(GoldenFolder() / name / "bf16");
    ThreadPool pool(1);
    const auto text = SampleText(runner.model(), 150, 1, pool);
    ASSERT_TRUE(text.has_value()) << text.error().ToString();
    EXPECT_EQ(SampleText(runner.model(), 150, 1, pool), *text);
    EXPECT_NE(SampleText(runner.model(), 150, 2, pool), *text);
    const auto loss = [&](kernels::KvTypes types) {
      return MeasureKvLoss(runner.model(), *text, {kF16, kF16}, types, pool).value();
    };
    EXPECT_EQ(loss({kF16, kF16}).max_kl, 0);
    EXPECT_EQ(loss({kF16, kF16}).top1, 1);
    EXPECT_EQ(loss({kF16, kF16}).n_positions, 150);
    const KvLoss q8 = loss({kQ8, kQ8}), q4 = loss({kQ4, kQ4});
    EXPECT_GT(q8.mean_kl, 0);
    EXPECT_LT(q8.mean_kl, 1e-2);  // in tiny random models a rounding moves whole experts
    EXPECT_GT(q8.top1, 0.9);
    EXPECT_LT(q8.mean_kl, q4.mean_kl);
    EXPECT_LT(loss({kF32, kF32}).mean_kl, q8.mean_kl);
    EXPECT_LE(q8.mean_kl, q8.max_kl);
  }
}

TEST(KvLoss, SaysWhatIsWrongWithItsTokens) {
  const Runner runner(GoldenFolder() / "qwen2_untied" / "bf16");
  ThreadPool pool(1);
  const std::vector<TokenId> bad = {runner.model().config().vocab};
  EXPECT_EQ(MeasureKvLoss(runner.model(), {}, {}, {}, pool).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(MeasureKvLoss(runner.model(), bad, {}, {}, pool).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace quern::model
