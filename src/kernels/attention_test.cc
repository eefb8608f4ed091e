#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/test_rows.h"
#include "tensor/dtype.h"

namespace quern::kernels {
namespace {

struct Force {
  explicit Force(Isa isa) { EXPECT_TRUE(ForceIsa(IsaName(isa)).has_value()); }
  ~Force() { EXPECT_TRUE(ForceIsa(IsaName(OfferedIsas().back())).has_value()); }
};

// What is left beside the rounding of keys, values and bf16 queries, which the exact result shares: rounding of f32
// sums; of queries to 16-bit integers, which moves a score of this data by about 1e-4; and of weights to bf16, each by
// up to 2^-9 of itself, so that a mean of values between -3 and 3 may move by 6e-3. Weights in 16 bits: by up to half
// of 1/32767 of a run's sum each, 16 of them by 2.4e-4 of it, which happens to no sum of many runs.
double ToleranceOf(KvTypes types) {
  const bool integers = types.k == KvType::kQ8 || types.k == KvType::kQ4 || types.k == KvType::kI16;
  return (integers ? 3e-4 : 1e-5) + (types.v == KvType::kBF16 ? 6e-3 : types.v == KvType::kI16 ? 3e-4 : 0);
}

// One sequence with n tokens of random keys and values, in pages. k and v are what was stored, as it reads back.
struct Sequence {
  Sequence(const KvLayout& layout, int n, uint32_t seed) {
    const auto width = static_cast<size_t>(layout.n_kv_heads * layout.head_dim);
    k = NormalFloats(width * static_cast<size_t>(n), seed);
    v = NormalFloats(width * static_cast<size_t>(n), seed + 1);
    const int n_pages = (n + layout.page_tokens - 1) / layout.page_tokens;
    // What nobody has written is not a number: nobody may read it.
    for (int p = 0; p < n_pages; ++p) {
      k_room.emplace_back(layout.key_page_bytes(), std::byte{0xFF});
      v_room.emplace_back(layout.value_page_bytes(), std::byte{0xFF});
    }
    for (int t = 0; t < n; ++t) {
      const auto page = static_cast<size_t>(t / layout.page_tokens);
      const int slot = t % layout.page_tokens;
      float* key = k.data() + static_cast<size_t>(t) * width;
      float* value = v.data() + static_cast<size_t>(t) * width;
      StoreKeys(layout, k_room[page].data(), slot, key);
      StoreValues(layout, v_room[page].data(), slot, value);
      LoadKeys(layout, k_room[page].data(), slot, key);
      LoadValues(layout, v_room[page].data(), slot, value);
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

// Plain attention in double over the stored keys and values.
std::vector<double> Exact(const Sequence& s, const KvLayout& layout, int n_heads, const float* q, int n, int head) {
  const int kv = head / (n_heads / layout.n_kv_heads);
  const int d = layout.head_dim;
  std::vector<double> scaled;
  for (int i = 0; i < d; ++i) {
    const float x = q[head * d + i] * (1.0F / std::sqrt(static_cast<float>(d)));
    scaled.push_back(static_cast<double>(layout.types.k == KvType::kBF16 ? Bf16ToF32(F32ToBf16(x)) : x));
  }
  std::vector<double> score(static_cast<size_t>(n));
  double max = -INFINITY;
  for (int t = 0; t < n; ++t) {
    const float* k = s.k.data() + (static_cast<ptrdiff_t>(t) * layout.n_kv_heads + kv) * d;
    double dot = 0;
    for (int i = 0; i < d; ++i) dot += scaled[static_cast<size_t>(i)] * static_cast<double>(k[i]);
    score[static_cast<size_t>(t)] = dot;
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

TEST(Attention, EveryLevelComesCloseToTheExactResult) {
  ThreadPool pool(2);
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    for (const KvType type : kKvTypes) {
      for (const auto& [head_dim, group] : {std::pair{8, 1}, {20, 3}, {64, 7}, {96, 2}, {128, 8}, {256, 5}, {32, 33}}) {
        const KvLayout layout{.types = {type, type}, .page_tokens = 32, .n_kv_heads = 2, .head_dim = head_dim};
        const int n_heads = 2 * group;
        const Sequence s(layout, 600, 5);
        const std::vector<int> contexts = {1, 2, 31, 32, 33, 255, 256, 257, 513, 598, 599, 600};
        const auto q = NormalFloats(contexts.size() * static_cast<size_t>(n_heads * head_dim), 9);
        const auto out = Attend(s, layout, n_heads, q, contexts, pool);
        for (size_t r = 0; r < contexts.size(); ++r) {
          const auto at = r * static_cast<size_t>(n_heads * head_dim);
          for (int h = 0; h < n_heads; ++h) {
            const auto exact = Exact(s, layout, n_heads, q.data() + at, contexts[r], h);
            for (int i = 0; i < head_dim; ++i) {
              ASSERT_NEAR(out[at + static_cast<size_t>(h * head_dim + i)], exact[static_cast<size_t>(i)],
                          ToleranceOf(layout.types))
                  << IsaName(isa) << " " << KvTypeName(type) << " head_dim " << head_dim << " group " << group
                  << " context " << contexts[r];
            }
          }
        }
      }
    }
  }
}

TEST(Attention, KeysAndValuesHaveTypesOfTheirOwn) {
  ThreadPool pool(1);
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    for (const KvType k : kKvTypes) {
      for (const KvType v : kKvTypes) {
        const KvLayout layout{.types = {k, v}, .page_tokens = 32, .n_kv_heads = 1, .head_dim = 64};
        const Sequence s(layout, 100, 3);
        const auto q = NormalFloats(64, 9);
        const auto out = Attend(s, layout, 1, q, {100}, pool);
        const auto exact = Exact(s, layout, 1, q.data(), 100, 0);
        for (size_t i = 0; i < 64; ++i)
          ASSERT_NEAR(out[i], exact[i], ToleranceOf(layout.types)) << KvTypeName(k) << "," << KvTypeName(v);
      }
    }
  }
}

// Rows alone and with one thread say what is right; then together (tiles of several rows, or spans of one sequence on
// several threads) with any number of threads, and in pages of another size.
TEST(Attention, ARowsBitsDependOnNeitherOtherRowsNorThreadsNorPageSize) {
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    for (const KvType type : kKvTypes) {
      // The plain level is slow and knows nothing of tiles: a short sequence says the same.
      const int n_tokens = isa == Isa::kRef ? 300 : 4500;
      const int n_rows = isa == Isa::kRef ? 8 : 64;
      std::vector<float> first;
      for (const int page_tokens : {32, 64, 256}) {
        const KvLayout layout{.types = {type, type}, .page_tokens = page_tokens, .n_kv_heads = 2, .head_dim = 32};
        const Sequence s(layout, n_tokens, 5);
        std::vector<int> contexts;
        for (int r = 0; r < n_rows / 2; ++r) contexts.push_back(1 + r * (n_tokens / n_rows));
        for (int r = n_rows / 2; r < n_rows; ++r) contexts.push_back(n_tokens - n_rows + r + 1);
        const size_t width = 6 * 32;
        const auto q = NormalFloats(static_cast<size_t>(n_rows) * width, 9);
        ThreadPool one(1);
        std::vector<float> alone;
        for (size_t r = 0; r < contexts.size(); ++r) {
          const std::vector<float> row(q.begin() + static_cast<ptrdiff_t>(r * width),
                                       q.begin() + static_cast<ptrdiff_t>((r + 1) * width));
          const auto out = Attend(s, layout, 6, row, {contexts[r]}, one);
          alone.insert(alone.end(), out.begin(), out.end());
        }
        if (first.empty()) first = alone;
        ASSERT_EQ(alone, first) << KvTypeName(type) << " page_tokens " << page_tokens;
        for (int threads = 1; threads <= 8; ++threads) {
          ThreadPool pool(threads);
          ASSERT_EQ(Attend(s, layout, 6, q, contexts, pool), alone)
              << IsaName(isa) << " " << KvTypeName(type) << " threads " << threads;
        }
        ThreadPool many(8);
        const std::vector<float> last(q.end() - static_cast<ptrdiff_t>(width), q.end());
        const auto out = Attend(s, layout, 6, last, {contexts.back()}, many);
        ASSERT_TRUE(std::equal(out.begin(), out.end(), alone.end() - static_cast<ptrdiff_t>(width)))
            << IsaName(isa) << " " << KvTypeName(type) << ": one row, eight threads";
      }
    }
  }
}

}  // namespace
}  // namespace quern::kernels
