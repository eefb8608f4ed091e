// Our forward pass against transformers on tiny checkpoints (tests/golden/model, tools/golden/README.md).
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "kernels/ops.h"
#include "model/golden_case.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

constexpr int kGreedyTokens = 64;

// What one run over all prompts of a case gives, laid out as the goldens are.
struct Seen {
  std::vector<float> hidden;  // [n_layers + 2, n_hidden_rows, d_model]
  std::vector<float> logits;  // [n_rows, n_columns]
};

Seen RunPrompts(const GoldenCase& golden, const fs::path& checkpoint) {
  Runner runner(checkpoint);
  const ModelConfig& config = runner.model().config();
  const auto d_model = static_cast<size_t>(config.d_model);
  const std::vector<int32_t> columns = golden.LogitColumns();
  const std::vector<int32_t> hidden_rows = golden.HiddenRows();
  std::vector<std::vector<float>> layers(static_cast<size_t>(config.n_layers) + 2);
  size_t first_row = 0;  // of the prompt, counted over all prompts
  const LayerObserver observer = [&](int layer, std::span<const float> x, int n_rows) {
    ASSERT_EQ(x.size(), static_cast<size_t>(n_rows) * d_model);
    std::vector<float>& kept = layers[static_cast<size_t>(layer + 1)];
    for (const int32_t wanted : hidden_rows) {
      const size_t row = static_cast<size_t>(wanted) - first_row;  // huge for rows of earlier prompts
      if (row >= static_cast<size_t>(n_rows)) continue;
      const auto values = x.subspan(row * d_model, d_model);
      kept.insert(kept.end(), values.begin(), values.end());
    }
  };
  Seen seen;
  for (const std::vector<TokenId>& prompt : golden.prompts()) {
    const auto sequence = runner.NewSequence();
    const ForwardResult result = runner.Run(*sequence, prompt, LogitsFor::kAll, &observer);
    for (int row = 0; row < result.n_rows; ++row) {
      const auto logits = result.logits.subspan(static_cast<size_t>(row) * static_cast<size_t>(config.vocab));
      for (const int32_t column : columns) seen.logits.push_back(logits[static_cast<size_t>(column)]);
    }
    first_row += prompt.size();
  }
  for (const std::vector<float>& layer : layers) seen.hidden.insert(seen.hidden.end(), layer.begin(), layer.end());
  return seen;
}

float LargestDifference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const float difference = std::fabs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN counts as large
  }
  return largest;
}

float RmsDifference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) squares += std::pow(double{a[i]} - double{b[i]}, 2);
  return static_cast<float>(std::sqrt(squares / static_cast<double>(a.size())));
}

// Standard deviation: stricter than the range from the smallest to the largest.
float Spread(std::span<const float> x) {
  double sum = 0, squares = 0;
  for (const float v : x) {
    sum += v;
    squares += double{v} * v;
  }
  const double n = static_cast<double>(x.size());
  return static_cast<float>(std::sqrt(squares / n - sum * sum / n / n));
}

class ModelGolden : public testing::TestWithParam<std::pair<std::string, std::string>> {
 protected:
  const std::string& name() const { return std::get<0>(GetParam()); }
  const std::string& isa() const { return std::get<1>(GetParam()); }

  // The bf16 checkpoint in f32, in a folder that is removed at the end.
  fs::path Widened(const GoldenCase& golden) {
    widened_ = fs::temp_directory_path() / fmt::format("quern_widened_{}_{}", ::getpid(), golden.name());
    WidenCheckpoint(golden.published(), widened_);
    return widened_;
  }

  void TearDown() override {
    if (!widened_.empty()) fs::remove_all(widened_);
  }

  void ExpectF32Equal(const GoldenCase& golden, const fs::path& checkpoint, const std::string& run) {
    const Seen seen = RunPrompts(golden, checkpoint);
    const std::vector<float> hidden = golden.Floats(run + ".hidden");
    const std::vector<float> logits = golden.Floats(run + ".logits");
    ASSERT_EQ(seen.hidden.size(), hidden.size());
    const size_t n_layers = golden.bf16_hidden_difference().size();
    const size_t n = hidden.size() / n_layers;
    // A third form, with its own order of sums, may be as far from each of the reference's two as they from each other.
    const float allowed = std::max(1e-4F, 2 * golden.f32_forms_difference());
    float worst = 0;
    for (size_t layer = 0; layer < n_layers; ++layer) {
      const std::span<const float> expected = std::span(hidden).subspan(layer * n, n);
      const float off = LargestDifference(std::span(seen.hidden).subspan(layer * n, n), expected) / Spread(expected);
      EXPECT_LE(off, allowed) << "hidden state after layer " << static_cast<int>(layer) - 1;
      worst = std::max(worst, off);
    }
    const float off = LargestDifference(seen.logits, logits) / Spread(logits);
    EXPECT_LE(off, allowed) << "logits";
    fmt::print("{} {} {}: hidden within {:.1e}, logits within {:.1e} of the spread\n", golden.name(), run, isa(), worst,
               off);
  }

 private:
  fs::path widened_;
};

TEST_P(ModelGolden, F32HiddenStatesAndLogitsEqualTheReference) {
  const ScopedIsa scoped(isa());
  const GoldenCase golden(name());
  if (golden.has_f32()) ExpectF32Equal(golden, golden.folder() / "f32", "f32");
  ExpectF32Equal(golden, Widened(golden), "wide");
}

TEST_P(ModelGolden, F32GreedyEqualsTheReferenceTokenForToken) {
  const ScopedIsa scoped(isa());
  const GoldenCase golden(name());
  ASSERT_GE(golden.greedy().size(), 20U);
  Runner runner(golden.has_f32() ? golden.folder() / "f32" : Widened(golden));
  int n_identical = 0;
  for (const GoldenGreedy& greedy : golden.greedy()) {
    ASSERT_EQ(greedy.f32_ids.size(), static_cast<size_t>(kGreedyTokens));
    const std::vector<TokenId> ids = runner.Greedy(greedy.prompt, kGreedyTokens);
    EXPECT_EQ(ids, greedy.f32_ids) << "prompt of " << greedy.prompt.size();
    if (ids == greedy.f32_ids) ++n_identical;
  }
  fmt::print("f32 greedy: {} of {} continuations of {} tokens identical ({}, {})\n", n_identical,
             golden.greedy().size(), kGreedyTokens, golden.name(), isa());
}

TEST_P(ModelGolden, Bf16DiffersNoMoreThanTheReferenceFromItself) {
  const ScopedIsa scoped(isa());
  const GoldenCase golden(name());
  const Seen seen = RunPrompts(golden, golden.published());
  const std::vector<float> hidden = golden.Floats("wide.hidden");
  const std::vector<float> logits = golden.Floats("wide.logits");
  ASSERT_EQ(seen.hidden.size(), hidden.size());
  ASSERT_EQ(seen.logits.size(), logits.size());
  const size_t n_layers = golden.bf16_hidden_difference().size();
  const size_t n = hidden.size() / n_layers;
  // Rows whose largest difference counts, of those with hidden states and of all.
  const std::vector<int32_t> rows = golden.HiddenRows();
  const auto n_short = std::ranges::lower_bound(rows, golden.bf16_difference_rows()) - rows.begin();
  const size_t n_hidden = n / rows.size() * static_cast<size_t>(n_short);
  const size_t n_logits = static_cast<size_t>(golden.bf16_difference_rows()) * golden.LogitColumns().size();
  // Where rounding flips an expert, the largest difference is what that one expert weighs, and which one it is is
  // chance: qwen3_next_tied on avx512 is off by 1.1 times as much as the reference with keys and values in f32, by 1.2
  // times with i16, and by less with f16. What is systematic is held by the mean, which must be below the reference's
  // own.
  const float flip = golden.bf16_hidden_rms().empty() ? 1.0F : 1.25F;
  for (size_t layer = 0; layer < n_layers; ++layer) {
    const std::span<const float> ours = std::span(seen.hidden).subspan(layer * n, n);
    const std::span<const float> theirs = std::span(hidden).subspan(layer * n, n);
    EXPECT_LE(LargestDifference(ours.first(n_hidden), theirs.first(n_hidden)),
              flip * golden.bf16_hidden_difference()[layer])
        << "hidden state after layer " << static_cast<int>(layer) - 1;
    if (golden.bf16_hidden_rms().empty()) continue;
    EXPECT_LE(RmsDifference(ours, theirs), golden.bf16_hidden_rms()[layer])
        << "hidden state after layer " << static_cast<int>(layer) - 1;
  }
  const float off = LargestDifference(std::span(seen.logits).first(n_logits), std::span(logits).first(n_logits));
  EXPECT_LE(off, flip * golden.bf16_logit_difference());
  fmt::print("{} bf16 {}: logits off by {:.4f}, the reference by {:.4f}", golden.name(), isa(), off,
             golden.bf16_logit_difference());
  if (golden.bf16_logit_rms() > 0) {
    const float rms = RmsDifference(seen.logits, logits);
    EXPECT_LE(rms, golden.bf16_logit_rms());
    fmt::print("; in the mean of all {} rows {:.4f}, the reference {:.4f}; the largest of them {:.4f}",
               logits.size() / golden.LogitColumns().size(), rms, golden.bf16_logit_rms(),
               LargestDifference(seen.logits, logits));
  }
  fmt::print("\n");
}

TEST_P(ModelGolden, Bf16GreedyDivergesOnlyInsideTheReferencesOwnRounding) {
  const ScopedIsa scoped(isa());
  const GoldenCase golden(name());
  Runner runner(golden.published());
  int n_identical = 0, n_inside = 0, n_routed = 0;
  for (const GoldenGreedy& greedy : golden.greedy()) {
    const std::vector<TokenId> ids = runner.Greedy(greedy.prompt, kGreedyTokens);
    ASSERT_EQ(greedy.bf16_ids.size(), ids.size());
    const auto at = static_cast<size_t>(std::ranges::mismatch(ids, greedy.bf16_ids).in1 - ids.begin());
    if (at == ids.size()) {
      ++n_identical;
      continue;
    }
    EXPECT_TRUE(greedy.DecidedByRounding(at))
        << "step " << at << " after a prompt of " << greedy.prompt.size() << ": margin " << greedy.bf16_margin[at]
        << ", rounding " << greedy.bf16_rounding[at];
    ++n_inside;
    if (greedy.bf16_margin[at] >= greedy.bf16_rounding[at]) ++n_routed;
  }
  fmt::print("bf16 greedy: {} of {} continuations identical, {} diverge inside the margin{} ({}, {})\n", n_identical,
             golden.greedy().size(), n_inside, n_routed == 0 ? "" : fmt::format(", {} of them the router's", n_routed),
             golden.name(), isa());
}

// Beyond the first difference of a continuation: at every step of the reference's own continuation, after the same
// tokens, we choose what it chose or its margin is inside its rounding.
TEST_P(ModelGolden, Bf16ChoosesAsTheReferenceAtEveryStepOutsideItsRounding) {
  const ScopedIsa scoped(isa());
  const GoldenCase golden(name());
  Runner runner(golden.published());
  const auto vocab = static_cast<size_t>(runner.model().config().vocab);
  int n_same = 0, n_steps = 0;
  for (const GoldenGreedy& greedy : golden.greedy()) {
    const auto sequence = runner.NewSequence();
    const std::span<const TokenId> head = std::span(greedy.prompt).first(greedy.prompt.size() - 1);
    if (!head.empty()) runner.Run(*sequence, head, LogitsFor::kNone);
    std::vector<TokenId> tokens = greedy.bf16_ids;
    tokens.insert(tokens.begin(), greedy.prompt.back());
    tokens.pop_back();
    const ForwardResult result = runner.Run(*sequence, tokens, LogitsFor::kAll);
    for (size_t step = 0; step < greedy.bf16_ids.size(); ++step) {
      const auto chosen = static_cast<TokenId>(kernels::ArgMax(result.logits.subspan(step * vocab, vocab)));
      ++n_steps;
      if (chosen == greedy.bf16_ids[step]) {
        ++n_same;
      } else {
        EXPECT_TRUE(greedy.DecidedByRounding(step)) << "step " << step << " after a prompt of " << greedy.prompt.size();
      }
    }
  }
  EXPECT_GE(n_same, n_steps * 9 / 10);
  fmt::print("bf16 steps: {} of {} choices identical, {} inside the margin ({}, {})\n", n_same, n_steps,
             n_steps - n_same, golden.name(), isa());
}

INSTANTIATE_TEST_SUITE_P(All, ModelGolden, testing::ValuesIn(OnTheirIsas(GoldenCaseNames())),
                         [](const auto& info) { return info.param.first + "_" + info.param.second; });

}  // namespace
}  // namespace quern::model
