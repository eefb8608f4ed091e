#include "model/divergence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/gguf_quantize.h"
#include "model/golden_case.h"
#include "model/window_runner.h"

namespace quern::model {
namespace {

std::vector<TokenId> Text(int n, int vocab) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * i * 7 + 11 * i + 5) % vocab);
  return tokens;
}

TEST(Divergence, FiguresOfHandMadeLogits) {
  DivergenceSum sum;
  const std::vector<float> even = {0, 0};
  const std::vector<float> skewed = {std::log(3.0F), 0};
  sum.Add(even, skewed, 1);
  sum.Add(skewed, skewed, -1);
  const Divergence d = sum.Figures();
  EXPECT_EQ(d.n_positions, 2);
  // 0.5 ln(0.5 / 0.75) + 0.5 ln(0.5 / 0.25), and 0.
  EXPECT_NEAR(d.max_kl, 0.5 * std::log(0.5 / 0.75) + 0.5 * std::log(2.0), 1e-6);
  EXPECT_NEAR(d.mean_kl, d.max_kl / 2, 1e-9);
  EXPECT_EQ(d.same_top, 1);  // the first of two equal ones
  EXPECT_NEAR(d.source_perplexity, 2, 1e-6);
  EXPECT_NEAR(d.other_perplexity, 4, 1e-6);
}

TEST(Divergence, AConstantAddedToLogitsChangesNothing) {
  DivergenceSum sum;
  sum.Add(std::vector<float>{1, 2, 3}, std::vector<float>{101, 102, 103}, 0);
  EXPECT_NEAR(sum.Figures().mean_kl, 0, 1e-6);
}

TEST(Divergence, AModelIsNothingAwayFromItselfAndSomethingFromItsRounding) {
  const auto folder = GoldenFolder() / "qwen3_next_untied" / "f32";
  const auto source = *Model::Load(folder);
  const auto tokens = Text(300, source->config().vocab);
  ThreadPool one(1), three(3);
  const auto same = CompareModels(*source, *source, tokens, 64, one, nullptr);
  ASSERT_TRUE(same.has_value()) << same.error().ToString();
  EXPECT_EQ(same->n_positions, 300);
  EXPECT_EQ(same->mean_kl, 0);
  EXPECT_EQ(same->same_top, 1);
  const auto rounded = *Model::Load(GoldenFolder() / "qwen3_next_untied" / "bf16");
  const auto a = CompareModels(*source, *rounded, tokens, 64, one, nullptr);
  const auto b = CompareModels(*source, *rounded, tokens, 64, three, nullptr);
  ASSERT_TRUE(a.has_value() && b.has_value());
  EXPECT_GT(a->mean_kl, 0);
  EXPECT_LE(a->mean_kl, a->max_kl);
  EXPECT_EQ(a->mean_kl, b->mean_kl);
  EXPECT_EQ(a->other_perplexity, b->other_perplexity);
}

TEST(Divergence, OfModelsThatCannotBeComparedIsAnError) {
  const auto a = *Model::Load(GoldenFolder() / "qwen2_untied" / "f32");
  const auto b = *Model::Load(GoldenFolder() / "qwen3_tied" / "f32");
  ThreadPool pool(1);
  EXPECT_EQ(CompareModels(*a, *b, Text(9, 300), 8, pool, nullptr).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(CompareModels(*a, *a, Text(1, 300), 8, pool, nullptr).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(CompareModels(*a, *a, Text(9, 300), 1, pool, nullptr).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(CompareModels(*a, *a, Text(9, 300), 1 << 20, pool, nullptr).error().code(), Code::kInvalidArgument);
}

TEST(WindowPieces, CoverTheTextOnceAndNeverCrossAWindow) {
  for (const size_t window : {size_t{2}, size_t{100}, size_t{128}, size_t{300}}) {
    size_t next = 0;
    for (const WindowPiece& piece : WindowPieces(1001, window)) {
      EXPECT_EQ(piece.begin, next);
      EXPECT_GE(piece.n, 1U);
      EXPECT_LE(piece.n, static_cast<size_t>(kWindowChunk));
      EXPECT_EQ(piece.starts_window, piece.begin % window == 0);
      EXPECT_EQ(piece.begin / window, (piece.begin + piece.n - 1) / window);
      next = piece.begin + piece.n;
    }
    EXPECT_EQ(next, 1001U);
  }
}

}  // namespace
}  // namespace quern::model
