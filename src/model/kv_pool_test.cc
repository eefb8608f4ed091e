#include "model/kv_pool.h"

#include <gtest/gtest.h>

#include <climits>
#include <set>

#include "model/golden_case.h"

namespace quern::model {
namespace {

const kernels::KvLayout kLayout{.types = {kernels::KvType::kF16, kernels::KvType::kF16},
                                .page_tokens = kKvPageTokens,
                                .n_kv_heads = 2,
                                .head_dim = 32};
// 3 layers of keys and values, 2 heads of 32 values of 2 bytes.
constexpr size_t kPageBytes = size_t{3} * 2 * kKvPageTokens * 2 * 32 * 2;

std::unique_ptr<KvPoolBody> Pool(int n_pages) {
  auto pool = KvPoolBody::Map(kLayout, 3, n_pages);
  EXPECT_TRUE(pool.has_value());
  return std::move(*pool);
}

TEST(KvPool, CountsWholePages) {
  const auto pool = Pool(10);
  EXPECT_EQ(pool->bytes_total(), 10 * kPageBytes);
  EXPECT_EQ(pool->bytes_used(), 0U);
  SequenceStateBody a(*pool);
  SequenceStateBody b(*pool);
  ASSERT_TRUE(a.Reserve(1).has_value());
  ASSERT_TRUE(b.Reserve(2 * kKvPageTokens + 1).has_value());
  EXPECT_EQ(pool->n_free_pages(), 6);
  EXPECT_EQ(pool->bytes_used(), 4 * kPageBytes);
  ASSERT_TRUE(a.Reserve(kKvPageTokens).has_value());  // already there
  EXPECT_EQ(pool->n_free_pages(), 6);
}

// What the pool takes of memory is what is said of a token: nothing hidden beside keys, values and their scales.
TEST(KvPool, TakesTheStatedBytesForThePublishedShapes) {
  using enum kernels::KvType;
  struct Row {
    int n_layers, n_heads, head_dim;  // of attention, of keys and values
    kernels::KvType type;
    double kib_per_token;
  };
  for (const Row& row :
       {Row{48, 4, 128, kI16, 97.5}, Row{48, 4, 128, kF16, 96}, Row{48, 4, 128, kBF16, 96}, Row{48, 4, 128, kQ8, 51},
        Row{48, 4, 128, kQ4, 27}, Row{12, 2, 256, kF16, 24}, Row{12, 2, 256, kQ8, 12.75}, Row{12, 2, 256, kQ4, 6.75}}) {
    const kernels::KvLayout layout{.types = {row.type, row.type},
                                   .page_tokens = kKvPageTokens,
                                   .n_kv_heads = row.n_heads,
                                   .head_dim = row.head_dim};
    const auto pool = KvPoolBody::Map(layout, row.n_layers, 10);
    ASSERT_TRUE(pool.has_value()) << pool.error().ToString();
    EXPECT_EQ(static_cast<double>((*pool)->bytes_total()), row.kib_per_token * 1024 * 10 * kKvPageTokens);
  }
}

TEST(KvPool, ExhaustionChangesNothingAndSaysTheNumbers) {
  const auto pool = Pool(3);
  SequenceStateBody a(*pool);
  SequenceStateBody b(*pool);
  ASSERT_TRUE(a.Reserve(kKvPageTokens).has_value());
  const auto refused = b.Reserve(3 * kKvPageTokens);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().ToString(), "exhausted: KV pool: 96 more tokens need 3 pages, 2 of 3 are free");
  EXPECT_EQ(pool->n_free_pages(), 2);
  EXPECT_EQ(b.Reserve(INT_MAX).error().code(), Code::kExhausted);
  EXPECT_TRUE(b.Reserve(2 * kKvPageTokens).has_value());
}

TEST(KvPool, TruncateAndDestructionReturnPages) {
  const auto pool = Pool(4);
  {
    SequenceStateBody a(*pool);
    ASSERT_TRUE(a.Reserve(4 * kKvPageTokens).has_value());
    a.Advance(3 * kKvPageTokens + 1);
    ASSERT_TRUE(a.Truncate(kKvPageTokens + 1).has_value());
    EXPECT_EQ(a.n_tokens(), kKvPageTokens + 1);
    EXPECT_EQ(pool->n_free_pages(), 2);
    ASSERT_TRUE(a.Truncate(kKvPageTokens).has_value());
    EXPECT_EQ(pool->n_free_pages(), 3);
  }
  EXPECT_EQ(pool->n_free_pages(), 4);
  SequenceStateBody again(*pool);
  EXPECT_TRUE(again.Reserve(4 * kKvPageTokens).has_value());
}

TEST(KvPool, PagesOfTwoSequencesNeverOverlap) {
  const auto pool = Pool(6);
  SequenceStateBody a(*pool);
  SequenceStateBody b(*pool);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(a.Reserve((i + 1) * kKvPageTokens).has_value());
    ASSERT_TRUE(b.Reserve((i + 1) * kKvPageTokens).has_value());
  }
  std::set<const std::byte*> starts;
  for (int layer = 0; layer < 3; ++layer) {
    for (int page = 0; page < 3; ++page) {
      for (const SequenceStateBody* s : {&a, &b}) {
        starts.insert(s->k_pages(layer)[page]);
        starts.insert(s->v_pages(layer)[page]);
      }
    }
  }
  ASSERT_EQ(starts.size(), size_t{3 * 3 * 2 * 2});
  const std::byte* last = nullptr;
  for (const std::byte* start : starts) {
    if (last != nullptr) {
      EXPECT_GE(static_cast<size_t>(start - last), kLayout.key_page_bytes());
    }
    last = start;
  }
}

TEST(KvPool, RefusesSizesOutOfBounds) {
  EXPECT_EQ(KvPoolBody::Map(kLayout, 3, 0).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(KvPoolBody::Map(kLayout, 3, -1).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(KvPoolBody::Map(kLayout, 3, INT_MAX).error().code(), Code::kInvalidArgument);
  const kernels::KvLayout huge{
      .types = {kernels::KvType::kF32, kernels::KvType::kF32}, .page_tokens = 32, .n_kv_heads = 1024, .head_dim = 512};
  EXPECT_EQ(KvPoolBody::Map(huge, 1024, 1 << 26).error().code(), Code::kExhausted);
}

TEST(KvPool, TakesTheCheckpointsType) {
  const GoldenCase golden("qwen3_moe_untied");
  Runner f32(golden.folder() / "f32");
  Runner bf16(golden.folder() / "bf16");
  using enum kernels::KvType;
  EXPECT_EQ(f32.model().default_kv_types(), (kernels::KvTypes{kF32, kF32}));
  EXPECT_EQ(bf16.model().default_kv_types(), (kernels::KvTypes{kI16, kI16}));
  const ModelConfig& config = bf16.model().config();
  EXPECT_EQ(bf16.kv().bytes_total(),
            static_cast<size_t>(bf16.kv().n_pages()) * kKvPageTokens * static_cast<size_t>(config.KvBytesPerToken({})));
  EXPECT_EQ(config.KvBytesPerToken({kF32, kF32}), 2 * config.KvBytesPerToken({kF16, kF16}));
}

}  // namespace
}  // namespace quern::model
