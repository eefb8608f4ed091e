#include "engine/speed_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

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

TEST(SpeedModel, CostsBetweenMeasuredRowsLieOnALine) {
  const std::vector<kernels::RowCost> costs = {{1, 2e-9}, {8, 9e-9}, {32, 33e-9}};
  EXPECT_EQ(CostAt(costs, 0), 0);
  EXPECT_EQ(CostAt(costs, 0.5), 2e-9) << "a matrix is read whole";
  EXPECT_DOUBLE_EQ(CostAt(costs, 1), 2e-9);
  EXPECT_DOUBLE_EQ(CostAt(costs, 3), 4e-9);
  EXPECT_DOUBLE_EQ(CostAt(costs, 32), 33e-9);
  EXPECT_DOUBLE_EQ(CostAt(costs, 320), 330e-9);
}

// Two layers that share everything but the last one's: what the sum of its parts must be.
TEST(SpeedModel, MeasuredCostsAreSummedOverWhatTheStepMeets) {
  model::ModelWork work;
  work.dense.Add(DType::kQ4K, 100, 100, 1);
  work.last_dense.Add(DType::kQ4K, 50, 100, 1);
  work.experts.Add(DType::kQ6K, 80, 100, 1);
  work.n_experts = 8;
  work.experts_used = 2;
  work.head.Add(DType::kQ6K, 10, 100, 1);
  work.attention_ops_per_pair = 10;
  Machine machine = Round();
  machine.read_bytes = 1e30;
  machine.costs.matrix[DType::kQ4K] = {{1, 1}, {100, 100}};
  machine.costs.matrix[DType::kQ6K] = {{1, 1000}, {100, 100000}};
  machine.costs.attention = {.one_row = 3, .many_rows = 2};

  const model::StepShape prompt{.n_rows = 16, .n_logit_rows = 1, .pairs = 5};
  const double touched = 1 - std::pow(0.75, 16), rows_each = 16 * 0.25 / touched;
  EXPECT_NEAR(StepSeconds(work, prompt, 0, machine, kPerfect),
              16 * 5000 + 1 * 5000 + touched * 8000 * 1000 * rows_each + 1000 * 1000 + 50 * 2, 1e-3);
  const model::StepShape one{.n_rows = 1, .n_logit_rows = 1, .n_sequences = 1, .pairs = 5};
  EXPECT_NEAR(StepSeconds(work, one, 2, machine, {.layer_seconds = 7}),
              10000 + 0.25 * 8000 * 1000 + 1000 * 1000 + 50 * 3 + 14, 1e-3);
  EXPECT_NEAR(PredictSeconds(work, 0, {}, {.prompt = 16}, machine, kPerfect),
              StepSeconds(work, {.n_rows = 16, .n_logit_rows = 1, .pairs = 16 * 17 / 2}, 0, machine, kPerfect), 1e-3);
}

TEST(SpeedModel, ActivationsPassMemory) {
  model::ModelWork work;
  work.dense.Add(DType::kQ4K, 1000, 1, 1);
  Machine machine = Round();
  machine.costs.matrix[DType::kQ4K] = {{1, 0}};
  const model::StepShape step{.n_rows = 500, .n_logit_rows = 500};
  EXPECT_NEAR(StepSeconds(work, step, 0, machine, kPerfect), 500 * 1000 * 16 / machine.read_bytes, 1e-9);
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
  work.dense.Add(DType::kQ4K, 1 << 10, 1 << 10, 6e5);
  work.head.Add(DType::kQ6K, 1 << 9, 1 << 9, 2e5);
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
