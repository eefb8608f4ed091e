#include "kernels/kernel_timer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace quern::kernels {
namespace {

bool IsTime(double seconds) { return std::isfinite(seconds) && seconds > 0; }

// How long it takes is nobody's promise; that every type can be timed is.
TEST(KernelTimer, EveryTypeHasACost) {
  ThreadPool pool(2);
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kQ8_0, DType::kQ4_0,
                           DType::kQ4K, DType::kQ5K, DType::kQ6K}) {
    SCOPED_TRACE(Info(type).name);
    auto timer = MatrixTimer::Create(type, 1024, 2048);
    ASSERT_TRUE(timer.has_value()) << timer.error().message();
    EXPECT_GE(timer->matrix_bytes(), static_cast<double>(1024 * RowBytes(type, 2048)));
    EXPECT_TRUE(IsTime(timer->Seconds(3, 1, pool)));
  }
}

TEST(KernelTimer, AttentionHasACost) {
  ThreadPool pool(2);
  const KvLayout layout{.n_kv_heads = 1, .head_dim = 64};
  const auto cost = MeasurePairCost(layout, 2, pool);
  ASSERT_TRUE(cost.has_value()) << cost.error().message();
  EXPECT_TRUE(IsTime(cost->one_row));
  EXPECT_TRUE(IsTime(cost->many_rows));
}

TEST(KernelTimer, RowCostsBeginAtOneRowAndGrow) {
  ThreadPool pool(2);
  const auto costs = MeasureRowCosts(DType::kQ4_0, pool);
  ASSERT_TRUE(costs.has_value()) << costs.error().message();
  ASSERT_FALSE(costs->empty());
  EXPECT_EQ(costs->front().n_rows, 1);
  for (size_t i = 0; i < costs->size(); ++i) {
    EXPECT_TRUE(IsTime((*costs)[i].seconds));
    EXPECT_GT((*costs)[i].n_rows, i == 0 ? 0 : (*costs)[i - 1].n_rows);
  }
}

}  // namespace
}  // namespace quern::kernels
