#include "model/importance_collect.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/gguf_export.h"
#include "model/golden_case.h"
#include "model/quantize_recipe.h"

namespace quern::model {
namespace {

std::vector<TokenId> Text(int n, int vocab) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * 13 + 7) % vocab);
  return tokens;
}

ImportanceMatrix Collected(const std::filesystem::path& path, int n_tokens, int n_threads = 1) {
  const auto model = Model::Load(path);
  EXPECT_TRUE(model.has_value());
  ThreadPool pool(n_threads);
  auto matrix = CollectImportance(**model, Text(n_tokens, (*model)->config().vocab), 32, pool, nullptr);
  EXPECT_TRUE(matrix.has_value()) << (matrix.has_value() ? "" : matrix.error().ToString());
  return std::move(*matrix);
}

// Every tensor that a recipe makes smaller has its columns, so that `quern quantize --imatrix` misses none.
TEST(CollectImportance, KnowsEveryMatrixOfEveryArchitecture) {
  for (const char* name : {"qwen2_untied", "qwen3_tied", "qwen3_moe_untied", "qwen3_next_untied"}) {
    const auto path = GoldenFolder() / name / "f32";
    const ImportanceMatrix matrix = Collected(path, 100);
    const auto checkpoint = Checkpoint::Open(path);
    const auto plan = PlanExport(**checkpoint);
    ASSERT_TRUE(plan.has_value());
    for (const ExportTensor& tensor : plan->tensors) {
      const ModelConfig& c = (*checkpoint)->config();
      const DType type = TypeFor(Recipe::kBF16, tensor.name, static_cast<int>(tensor.shape.size()), tensor.n_cols(),
                                 c.n_layers, c.tied_embeddings);
      if (type == DType::kF32 || (tensor.name == "token_embd.weight" && !c.tied_embeddings)) continue;
      const auto* entry = matrix.Find(tensor.name);
      ASSERT_NE(entry, nullptr) << name << " " << tensor.name;
      const int64_t n_experts = tensor.shape.size() == 3 ? tensor.shape[0] : 1;
      EXPECT_EQ(entry->n_experts, n_experts);
      EXPECT_EQ(static_cast<int64_t>(entry->mean_squares.size()), n_experts * tensor.n_cols()) << tensor.name;
    }
  }
}

// What a layer observer sees behind the final norm is what the output matrix meets.
TEST(CollectImportance, IsTheMeanSquareOfWhatAMatrixMeets) {
  const auto path = GoldenFolder() / "qwen2_untied" / "f32";
  Runner runner(path);
  const auto tokens = Text(30, runner.model().config().vocab);
  const auto sequence = runner.NewSequence();
  std::vector<double> squares(static_cast<size_t>(runner.model().config().d_model));
  const LayerObserver observer = [&](int layer, std::span<const float> x, int n_rows) {
    if (layer != runner.model().config().n_layers) return;
    for (size_t i = 0; i < x.size(); ++i) {
      squares[i % squares.size()] += static_cast<double>(x[i]) * static_cast<double>(x[i]) / n_rows;
    }
  };
  runner.Run(*sequence, tokens, LogitsFor::kAll, &observer);
  const ImportanceMatrix matrix = Collected(path, 30);
  const auto* entry = matrix.Find("output.weight");
  ASSERT_NE(entry, nullptr);
  ASSERT_EQ(entry->mean_squares.size(), squares.size());
  for (size_t i = 0; i < squares.size(); ++i) {
    EXPECT_NEAR(entry->mean_squares[i], squares[i], 1e-5 * squares[i]) << i;
  }
}

TEST(CollectImportance, DoesNotDependOnThreads) {
  const auto path = GoldenFolder() / "qwen3_moe_untied" / "bf16";
  const ImportanceMatrix one = Collected(path, 100, 1);
  const ImportanceMatrix four = Collected(path, 100, 4);
  for (const auto& [name, entry] : one.entries()) EXPECT_EQ(entry.mean_squares, four.Find(name)->mean_squares) << name;
}

}  // namespace
}  // namespace quern::model
