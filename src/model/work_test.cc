#include "model/work.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "model/golden_case.h"

namespace quern::model {
namespace {

ModelConfig Coder30B() {
  return {.architecture = Architecture::kQwen3Moe,
          .d_model = 2048,
          .n_layers = 48,
          .n_heads = 32,
          .n_kv_heads = 4,
          .head_dim = 128,
          .vocab = 151936,
          .context_length = 262144,
          .n_experts = 128,
          .n_experts_used = 8,
          .d_ff_expert = 768};
}

// Every golden checkpoint, of every architecture: counting tensors and counting by formula give the same.
TEST(Work, FormulasCountWhatTheFilesHold) {
  int n = 0;
  for (const auto& entry : std::filesystem::directory_iterator(GoldenFolder())) {
    const auto path = entry.path() / "f32";
    if (!std::filesystem::exists(path / "config.json")) continue;
    SCOPED_TRACE(path.string());
    const auto checkpoint = Checkpoint::Open(path);
    ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().message();
    const ModelWork counted = WorkOf(**checkpoint);
    const ModelWork formula = WorkOf((*checkpoint)->config(), DType::kF32, 4);
    EXPECT_EQ(counted.dense.bytes, formula.dense.bytes);
    EXPECT_EQ(counted.experts.bytes, formula.experts.bytes);
    EXPECT_EQ(counted.head.bytes, formula.head.bytes);
    EXPECT_EQ(counted.last_dense.bytes, formula.last_dense.bytes);
    EXPECT_EQ(counted.last_experts.bytes, formula.last_experts.bytes);
    EXPECT_GT(counted.last_dense.bytes, 0);
    EXPECT_EQ(counted.dense.outputs, formula.dense.outputs);
    EXPECT_EQ(counted.experts.outputs, formula.experts.outputs);
    EXPECT_EQ(counted.head.outputs, formula.head.outputs);
    EXPECT_EQ(counted.dense.weights, formula.dense.weights);
    EXPECT_EQ(counted.experts.weights, formula.experts.weights);
    EXPECT_EQ(counted.dense.per_row.f32 + counted.experts.per_row.f32,
              counted.dense.bytes / 2 + counted.experts.bytes / 2);
    ++n;
  }
  EXPECT_GE(n, 4);
}

// 3.3 B parameters are active, of these 0.3 B in lm_head; keys and values are 96 KiB per token in 16 bits.
TEST(Work, CoderA3BReadsWhatItsNameSays) {
  const ModelWork work = WorkOf(Coder30B(), DType::kQ4K, 0.5625);
  const StepWork one = WorkOf(work, {.n_rows = 1, .n_logit_rows = 1, .pairs = 1000, .kv_tokens = 1000}, KvWork{});
  EXPECT_NEAR((one.ops.int8 + one.ops.f32) / 2, 3.04e9, 0.02e9);
  EXPECT_EQ(one.kv_bytes, 1000 * 96 * 1024);
  EXPECT_EQ(one.attention.f32, 4.0 * 48 * 32 * 128 * 1000);
}

TEST(Work, KeysAndValuesCountAsTheyAreStored) {
  const ModelWork work = WorkOf(Coder30B(), DType::kQ4K, 0.5625);
  const auto step = [&](kernels::KvTypes types) {
    return WorkOf(work, {.pairs = 1000, .kv_tokens = 1000}, KvWorkOf(Coder30B(), types));
  };
  using enum kernels::KvType;
  EXPECT_EQ(step({kF16, kF16}).kv_bytes, 1000 * 96 * 1024);
  EXPECT_EQ(step({kQ8, kQ8}).kv_bytes, 1000 * 51 * 1024);
  EXPECT_EQ(step({kBF16, kBF16}).attention.f32, 0);
  EXPECT_EQ(step({kBF16, kBF16}).attention.bf16, step({kF16, kF16}).attention.f32);
  EXPECT_EQ(step({kBF16, kF16}).attention.bf16, step({kBF16, kF16}).attention.f32);
  EXPECT_EQ(step({kI16, kI16}).kv_bytes, 1000 * (96 * 1024 + 48 * 2 * 4 * 4)) << "and a scale per layer and head";
  EXPECT_EQ(step({kI16, kI16}).attention.int8, 2 * step({kF16, kF16}).attention.f32);
  EXPECT_EQ(step({kI16, kI16}).attention.f32, 0);
}

// A row without logits does everything but the head and, in the last of 48 layers, what is behind its key and value.
TEST(Work, RowsWithoutLogitsStopInTheLastLayer) {
  const ModelWork work = WorkOf(Coder30B(), DType::kQ4K, 0.5625);
  const StepWork all = WorkOf(work, {.n_rows = 512, .n_logit_rows = 512, .pairs = 1000}, KvWork{});
  const StepWork none = WorkOf(work, {.n_rows = 512, .n_logit_rows = 0, .pairs = 1000}, KvWork{});
  const double layers = (all.ops.int8 + all.ops.f32) - 512 * work.head.per_row.int8;
  EXPECT_NEAR((none.ops.int8 + none.ops.f32) / layers, 1 - 1.0 / 48, 0.002);
  EXPECT_GT((none.ops.int8 + none.ops.f32) / layers, 1 - 1.0 / 48);
  EXPECT_DOUBLE_EQ(none.attention.f32 / all.attention.f32, 1 - 1.0 / 48);
}

TEST(Work, ExpertsReadGrowFromOneRowsToAll) {
  const ModelWork work = WorkOf(Coder30B(), DType::kQ4K, 0.5625);
  EXPECT_NEAR(work.ExpertBytes(1), work.experts.bytes * 8 / 128, 1);
  EXPECT_GT(work.ExpertBytes(8), 6 * work.ExpertBytes(1));
  EXPECT_LT(work.ExpertBytes(8), 8 * work.ExpertBytes(1));
  EXPECT_NEAR(work.ExpertBytes(1e4), work.experts.bytes, 1);
  EXPECT_EQ(WorkOf(ModelConfig{.n_layers = 1}, DType::kF32, 4).ExpertBytes(5), 0);
}

}  // namespace
}  // namespace quern::model
