#include "engine/memory_plan.h"

#include <gtest/gtest.h>

namespace quern::engine {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30U;
constexpr uint64_t kTokenBytes = 96 * 1024;  // in 16 bits

model::ModelConfig Coder30B() {
  return {.architecture = model::Architecture::kQwen3Moe,
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

TEST(MemoryPlan, AddsUpWhatAModelTakes) {
  const auto plan = PlanMemory(
      Coder30B(),
      {.weight_bytes = 18 * kGiB, .context = 32768, .parallel = 2, .memory = 32 * kGiB, .kv_token_bytes = kTokenBytes});
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->kv, 2 * 32768 * kTokenBytes);
  EXPECT_EQ(plan->total(), plan->weights + plan->kv + plan->scratch);
  EXPECT_TRUE(plan->fits());
  EXPECT_TRUE(CheckFits(*plan).has_value());
}

// What the refusal proposes fits, and one step more does not.
TEST(MemoryPlan, ProposesTheLargestThatFits) {
  const MemoryRequest request{
      .weight_bytes = 18 * kGiB, .context = 262144, .parallel = 4, .memory = 48 * kGiB, .kv_token_bytes = kTokenBytes};
  const auto plan = PlanMemory(Coder30B(), request);
  ASSERT_TRUE(plan.has_value());
  EXPECT_FALSE(plan->fits());
  MemoryRequest smaller = request;
  smaller.context = plan->LargestContext();
  EXPECT_TRUE(PlanMemory(Coder30B(), smaller)->fits());
  smaller.context += 64;
  EXPECT_FALSE(PlanMemory(Coder30B(), smaller)->fits());
  MemoryRequest fewer = request;
  fewer.parallel = plan->LargestParallel();
  ASSERT_GE(fewer.parallel, 1);
  EXPECT_TRUE(PlanMemory(Coder30B(), fewer)->fits());
  const auto refused = CheckFits(*plan);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::kExhausted);
  EXPECT_NE(refused.error().message().find("--context"), std::string::npos);
  EXPECT_NE(refused.error().message().find("--parallel"), std::string::npos);
}

TEST(MemoryPlan, SaysHowMuchWouldBeNeededWhenWeightsAloneDoNotFit) {
  const auto plan = PlanMemory(
      Coder30B(), {.weight_bytes = 18 * kGiB, .context = 1024, .memory = 8 * kGiB, .kv_token_bytes = kTokenBytes});
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->LargestContext(), 0);
  EXPECT_EQ(plan->LargestParallel(), 0);
  EXPECT_NE(CheckFits(*plan).error().message().find("fewer bits per weight"), std::string::npos);
}

TEST(MemoryPlan, RefusesNumbersOutOfRange) {
  EXPECT_FALSE(PlanMemory(Coder30B(), {.context = 262145, .memory = kGiB}).has_value());
  EXPECT_FALSE(PlanMemory(Coder30B(), {.context = -1, .memory = kGiB}).has_value());
  EXPECT_FALSE(PlanMemory(Coder30B(), {.context = 1, .parallel = 0, .memory = kGiB}).has_value());
}

}  // namespace
}  // namespace quern::engine
