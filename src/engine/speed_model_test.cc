#include "engine/speed_model.h"

#include <gtest/gtest.h>

namespace quern::engine {
namespace {

constexpr Efficiency kPerfect{};

Machine Round() {
  return {.name = "round", .read_bytes = 1e9, .int8_ops = 1e12, .bf16_ops = 5e11, .f32_ops = 2.5e11, .memory = 1 << 30};
}

TEST(SpeedModel, TakesAboutTheLongerOfReadingAndComputing) {
  model::StepWork work;
  work.weight_bytes = 2e9;
  EXPECT_NEAR(StepSeconds(work, 10, Round(), kPerfect), 2, 1e-9);
  work.ops.int8 = 2e11;  // hidden behind the reading
  EXPECT_NEAR(StepSeconds(work, 10, Round(), kPerfect), 2, 0.001);
  work.ops.int8 = 2e12;  // neither hides the other whole
  const double alike = StepSeconds(work, 10, Round(), kPerfect);
  EXPECT_GT(alike, 2.2);
  EXPECT_LT(alike, 4);
  work.ops.int8 = 2e13;
  EXPECT_NEAR(StepSeconds(work, 10, Round(), {.matrix = 0.5, .layer_seconds = 0.1}), 41, 0.01);
}

TEST(SpeedModel, TilesMultiplyMatricesAndLeaveAttentionAsItIs) {
  Machine machine = Round();
  machine.tile_int8_ops = 4e12;
  model::StepWork work;
  work.ops.int8 = 2e12;
  EXPECT_NEAR(StepSeconds(work, 1, machine, {.matrix = 0.1, .tile_int8 = 0.5}), 1, 1e-9);
  work.attention.int8 = 1e12;
  EXPECT_NEAR(StepSeconds(work, 1, machine, {.matrix = 0.1, .tile_int8 = 0.5}), 2, 1e-9);
  work.ops = {.bf16 = 5e11};
  EXPECT_NEAR(StepSeconds(work, 1, machine, {.matrix = 0.5}), 3, 1e-9);
}

TEST(SpeedModel, AttentionTakesTheArithmeticOfItsKeysAndValues) {
  model::StepWork work;
  work.attention = {.f32 = 5e11};
  EXPECT_NEAR(StepSeconds(work, 1, Round(), kPerfect), 2, 1e-9);
  work.attention = {.bf16 = 2.5e11, .f32 = 2.5e11};
  EXPECT_NEAR(StepSeconds(work, 1, Round(), kPerfect), 1.5, 1e-9);
  EXPECT_NEAR(StepSeconds(work, 1, Round(), {.attention = 0.5}), 3, 1e-9);
}

TEST(SpeedModel, StepsCoverThePromptAndEveryPairOnce) {
  double rows = 0, pairs = 0, logits = 0;
  ForSteps({.prompt = 1000, .depth = 100, .step_tokens = 300}, [&](const model::StepShape& step) {
    rows += step.n_rows;
    pairs += step.pairs;
    logits += step.n_logit_rows;
  });
  EXPECT_EQ(rows, 1000);
  EXPECT_EQ(logits, 1);
  EXPECT_EQ(pairs, 1000.0 * 100 + 1000.0 * 1001 / 2);
}

TEST(SpeedModel, MoreMachineIsNeverSlower) {
  model::ModelWork work;
  work.dense.Add(DType::kQ4K, 1 << 20, 6e5);
  work.head.Add(DType::kQ6K, 1 << 18, 2e5);
  const Workload run{.prompt = 512, .generate = 16, .depth = 64, .batch = 2};
  double before = 1e9;
  for (const Machine& machine : ExampleMachines()) {
    const double seconds = PredictSeconds(work, 4, {}, run, machine);
    EXPECT_GT(seconds, 0);
    EXPECT_LE(seconds, before);
    before = seconds;
  }
}

}  // namespace
}  // namespace quern::engine
