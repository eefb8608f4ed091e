#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

struct Force {
  explicit Force(Isa isa) { EXPECT_TRUE(ForceIsa(IsaName(isa)).has_value()); }
  ~Force() { EXPECT_TRUE(ForceIsa(IsaName(OfferedIsas().back())).has_value()); }
};

// One sequence with n tokens of random keys and values, in pages.
struct Sequence {
  Sequence(const KvLayout& layout, int n, uint32_t seed) {
    const auto width = static_cast<size_t>(layout.n_kv_heads * layout.head_dim);
    k = NormalFloats(width * static_cast<size_t>(n), seed);
    v = NormalFloats(width * static_cast<size_t>(n), seed + 1);
    const int n_pages = (n + layout.page_tokens - 1) / layout.page_tokens;
    for (int p = 0; p < n_pages; ++p) {
      k_room.emplace_back(layout.page_bytes());
      v_room.emplace_back(layout.page_bytes());
    }
    for (int t = 0; t < n; ++t) {
      const auto page = static_cast<size_t>(t / layout.page_tokens);
      StoreKv(layout, k_room[page].data(), t % layout.page_tokens, k.data() + static_cast<size_t>(t) * width);
      StoreKv(layout, v_room[page].data(), t % layout.page_tokens, v.data() + static_cast<size_t>(t) * width);
    }
    for (auto& page : k_room) k_pages.push_back(page.data());
    for (auto& page : v_room) v_pages.push_back(page.data());
  }
  std::vector<float> k, v;  // [n, n_kv_heads, head_dim]
  std::vector<std::vector<std::byte>> k_room, v_room;
  std::vector<const std::byte*> k_pages, v_pages;
};

std::vector<float> Attend(const Sequence& s, const KvLayout& layout, int n_heads, const std::vector<float>& q,
                          const std::vector<int>& contexts, ThreadPool& pool) {
  const int width = n_heads * layout.head_dim;
  std::vector<float> out(contexts.size() * static_cast<size_t>(width), NAN);
  std::vector<AttentionRow> rows;
  for (size_t r = 0; r < contexts.size(); ++r) {
    const auto at = static_cast<ptrdiff_t>(r) * width;
    rows.push_back({q.data() + at, out.data() + at, s.k_pages.data(), s.v_pages.data(), contexts[r]});
  }
  AttentionScratch scratch;
  Attention(rows, layout, n_heads, 1.0F / std::sqrt(static_cast<float>(layout.head_dim)), scratch, pool);
  return out;
}

// Plain attention in double over the unrounded keys and values.
std::vector<double> Exact(const Sequence& s, const KvLayout& layout, int n_heads, const float* q, int n, int head) {
  const int kv = head / (n_heads / layout.n_kv_heads);
  const int d = layout.head_dim;
  std::vector<double> score(static_cast<size_t>(n));
  double max = -INFINITY;
  for (int t = 0; t < n; ++t) {
    const float* k = s.k.data() + (static_cast<ptrdiff_t>(t) * layout.n_kv_heads + kv) * d;
    double dot = 0;
    for (int i = 0; i < d; ++i) dot += static_cast<double>(q[head * d + i]) * static_cast<double>(k[i]);
    score[static_cast<size_t>(t)] = dot / std::sqrt(static_cast<double>(d));
    max = std::max(max, score[static_cast<size_t>(t)]);
  }
  std::vector<double> out(static_cast<size_t>(d));
  double sum = 0;
  for (int t = 0; t < n; ++t) {
    const double p = std::exp(score[static_cast<size_t>(t)] - max);
    sum += p;
    const float* v = s.v.data() + (static_cast<ptrdiff_t>(t) * layout.n_kv_heads + kv) * d;
    for (int i = 0; i < d; ++i) out[static_cast<size_t>(i)] += p * static_cast<double>(v[i]);
  }
  for (double& v : out) v /= sum;
  return out;
}

// f32 storage: rounding of f32 sums. f16 storage: keys and values are off by 2^-11 of themselves; scores of a few units
// move by about 1e-3, outputs of order one by as much.
TEST(Attention, EveryLevelComesCloseToTheExactResult) {
  ThreadPool pool(2);
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    for (const KvType type : {KvType::kF32, KvType::kF16}) {
      for (const auto& [head_dim, group] : {std::pair{8, 1}, {20, 3}, {64, 7}, {96, 2}, {128, 8}}) {
        const KvLayout layout{.type = type, .page_tokens = 16, .n_kv_heads = 2, .head_dim = head_dim};
        const int n_heads = 2 * group;
        const Sequence s(layout, 600, 5);
        const std::vector<int> contexts = {1, 2, 15, 16, 17, 255, 256, 257, 513, 600};
        const auto q = NormalFloats(contexts.size() * static_cast<size_t>(n_heads * head_dim), 9);
        const auto out = Attend(s, layout, n_heads, q, contexts, pool);
        for (size_t r = 0; r < contexts.size(); ++r) {
          const auto at = r * static_cast<size_t>(n_heads * head_dim);
          for (int h = 0; h < n_heads; ++h) {
            const auto exact = Exact(s, layout, n_heads, q.data() + at, contexts[r], h);
            for (int i = 0; i < head_dim; ++i) {
              ASSERT_NEAR(out[at + static_cast<size_t>(h * head_dim + i)], exact[static_cast<size_t>(i)],
                          type == KvType::kF32 ? 1e-5 : 6e-3)
                  << IsaName(isa) << " head_dim " << head_dim << " group " << group << " context " << contexts[r];
            }
          }
        }
      }
    }
  }
}

TEST(Attention, ARowsBitsDependOnNeitherOtherRowsNorThreadsNorPageSize) {
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    std::vector<float> first;
    for (const int page_tokens : {1, 16, 32, 256}) {
      const KvLayout layout{.type = KvType::kF16, .page_tokens = page_tokens, .n_kv_heads = 2, .head_dim = 32};
      const Sequence s(layout, 700, 5);
      std::vector<int> contexts;
      for (int r = 0; r < 64; ++r) contexts.push_back(1 + r * 11);
      const auto q = NormalFloats(64 * 4 * 32, 9);
      ThreadPool one(1);
      std::vector<float> alone;
      for (size_t r = 0; r < 64; ++r) {
        const std::vector<float> row(q.begin() + static_cast<ptrdiff_t>(r) * 128,
                                     q.begin() + static_cast<ptrdiff_t>(r + 1) * 128);
        const auto out = Attend(s, layout, 4, row, {contexts[r]}, one);
        alone.insert(alone.end(), out.begin(), out.end());
      }
      if (first.empty()) first = alone;
      ASSERT_EQ(alone, first) << "page_tokens " << page_tokens;
      for (int threads = 1; threads <= 8; ++threads) {
        ThreadPool pool(threads);
        ASSERT_EQ(Attend(s, layout, 4, q, contexts, pool), alone) << IsaName(isa) << " threads " << threads;
      }
    }
  }
}

}  // namespace
}  // namespace quern::kernels
