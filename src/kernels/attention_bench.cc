// Attention over one sequence: a decode step at a depth, and a piece of a prompt that ends there.
//
//   decode/TYPE/SHAPE/DEPTH   one row. GB/s: keys and values read; compare with the machine's read bandwidth
//   prompt/TYPE/SHAPE/DEPTH   256 rows. GFLOP/s: two operations for each product of scores and of values
//
// SHAPE 0: 32 query heads, 4 KV heads of 128 (Qwen3-Coder-30B-A3B); 1: 16, 2 of 256 (Qwen3-Coder-Next);
// 2: 12, 2 of 128 (Qwen2.5-Coder-1.5B). Pages lie apart, as in a model of many layers. QUERN_THREADS: threads (2).
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/attention.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

struct HeadShape {
  int n_heads, n_kv_heads, head_dim;
};
constexpr HeadShape kShapes[] = {{32, 4, 128}, {16, 2, 256}, {12, 2, 128}};

int Threads() {
  const char* text = std::getenv("QUERN_THREADS");
  return text != nullptr ? std::max(1, std::atoi(text)) : 2;
}

struct Setup {
  Setup(KvType type, const HeadShape& shape, int depth, int n_rows) {
    layout = {.types = {type, type}, .page_tokens = 32, .n_kv_heads = shape.n_kv_heads, .head_dim = shape.head_dim};
    const int n_pages = (depth + layout.page_tokens - 1) / layout.page_tokens;
    const auto token = NormalFloats(static_cast<size_t>(shape.n_kv_heads * shape.head_dim), 3);
    for (int p = 0; p < n_pages; ++p) {
      k_room.push_back(std::make_unique<std::byte[]>(layout.key_page_bytes()));
      v_room.push_back(std::make_unique<std::byte[]>(layout.value_page_bytes()));
      for (int slot = 0; slot < layout.page_tokens; ++slot) {
        StoreKeys(layout, k_room.back().get(), slot, token.data());
        StoreValues(layout, v_room.back().get(), slot, token.data());
      }
      k_pages.push_back(k_room.back().get());
      v_pages.push_back(v_room.back().get());
    }
    const int width = shape.n_heads * shape.head_dim;
    q = NormalFloats(static_cast<size_t>(n_rows * width), 4);
    out.resize(q.size());
    for (int r = 0; r < n_rows; ++r) {
      const auto at = static_cast<ptrdiff_t>(r) * width;
      rows.push_back({q.data() + at, out.data() + at, k_pages.data(), v_pages.data(), depth - n_rows + 1 + r});
    }
  }

  KvLayout layout;
  std::vector<std::unique_ptr<std::byte[]>> k_room, v_room;
  std::vector<const std::byte*> k_pages, v_pages;
  std::vector<float> q, out;
  std::vector<AttentionRow> rows;
};

void Run(benchmark::State& state, int n_rows) {
  const auto type = static_cast<KvType>(state.range(0));
  const HeadShape& shape = kShapes[state.range(1)];
  const auto depth = static_cast<int>(state.range(2));
  Setup setup(type, shape, depth, n_rows);
  ThreadPool pool(Threads());
  AttentionScratch scratch;
  const float scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
  for (auto _ : state) Attention(setup.rows, setup.layout, shape.n_heads, scale, scratch, pool);
  state.SetLabel(std::string(KvTypeName(type)));
  const double bytes = static_cast<double>(depth) / setup.layout.page_tokens *
                       static_cast<double>(setup.layout.key_page_bytes() + setup.layout.value_page_bytes());
  double seen = 0;
  for (const AttentionRow& row : setup.rows) seen += row.n_context;
  const double flops = 4.0 * seen * shape.n_heads * shape.head_dim;
  using benchmark::Counter;
  state.counters["GB/s"] = Counter(bytes / 1e9, Counter::kIsIterationInvariantRate);
  state.counters["GFLOP/s"] = Counter(flops / 1e9, Counter::kIsIterationInvariantRate);
}

void Decode(benchmark::State& state) { Run(state, 1); }
void Prompt(benchmark::State& state) { Run(state, 256); }

BENCHMARK(Decode)
    ->Name("decode")
    ->ArgsProduct({{1, 2, 3, 4, 5}, {0, 1, 2}, {8192, 32768}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(Prompt)
    ->Name("prompt")
    ->ArgsProduct({{1, 2, 3, 4, 5}, {0, 1}, {8192}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace quern::kernels
