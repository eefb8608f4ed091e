// The two forms of the gated delta rule beside each other, at the size of a Qwen3-Coder-Next head (128 x 128).
//   quern_kernels_bench --benchmark_filter=delta
// One thread. 1024 states (64 MiB) take turns, so that a state comes from memory as it does between two steps of a
// model. n: tokens per call: 1 is decoding, 32 and more are prompts. items: tokens of one head.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "kernels/delta_net.h"
#include "kernels/dispatch.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

constexpr int kDim = 128;
constexpr size_t kStates = 1024;
constexpr int kMaxTokens = 256;

struct Data {
  Data() {
    q = NormalFloats(size_t{kMaxTokens} * kDim, 1);
    k = NormalFloats(size_t{kMaxTokens} * kDim, 2);
    v = NormalFloats(size_t{kMaxTokens} * kDim, 3);
    L2NormHeads(q.data(), kMaxTokens, kDim, 1e-6F, 0.1F);
    L2NormHeads(k.data(), kMaxTokens, kDim, 1e-6F, 1.0F);
    for (int t = 0; t < kMaxTokens; ++t) {
      keys.push_back(k.data() + t * kDim);
    }
    for (size_t row = 0; row < kStates * kDeltaChunk; ++row) u.push_back(changes.data() + row * kDim);
  }

  static Data& Get() {
    static Data data;
    return data;
  }

  std::vector<float> q, k, v;
  std::vector<float> changes = std::vector<float>(kStates * kDeltaChunk * kDim);
  std::vector<float> out = std::vector<float>(size_t{kMaxTokens} * kDim);
  std::vector<float> decay = std::vector<float>(kMaxTokens, 0.9F);
  std::vector<float> beta = std::vector<float>(kMaxTokens, 0.5F);
  std::vector<float> states = std::vector<float>(kStates * kDim * kDim);
  std::vector<std::array<float, kDeltaChunk + 1>> reach{kStates};
  std::vector<const float*> keys;
  std::vector<float*> u;  // [kStates, kDeltaChunk] rows of changes
  std::array<float, size_t{kDeltaChunk} * kDeltaChunk> by_key{}, by_query{};
};

void Recurrent(Data& d, const KernelTable& table, size_t state, int /*before*/, int n) {
  table.delta_steps({.state = d.states.data() + state * kDim * kDim,
                     .key_dim = kDim,
                     .value_dim = kDim,
                     .n_tokens = n,
                     .q = d.q.data(),
                     .k = d.k.data(),
                     .qk_stride = kDim,
                     .v = d.v.data(),
                     .v_stride = kDim,
                     .decay = d.decay.data(),
                     .beta = d.beta.data(),
                     .gate_stride = 1,
                     .out = d.out.data(),
                     .out_stride = kDim});
}

// Products are made once for two heads, as in Qwen3-Coder-Next: half of the calls make them.
void Chunked(Data& d, const KernelTable& table, size_t state, int before, int n) {
  for (int at = 0; at < n;) {
    const int first = (before + at) % kDeltaChunk;
    const int size = std::min(kDeltaChunk - first, n - at);
    const float* q = d.q.data() + at * kDim;
    if (state % 2 == 0) {
      table.delta_products({.key_dim = kDim,
                            .n_before = first,
                            .n_tokens = size,
                            .k = d.keys.data(),
                            .q = q,
                            .qk_stride = kDim,
                            .by_key = d.by_key.data(),
                            .by_query = d.by_query.data()});
    }
    table.delta_chunk({.state = d.states.data() + state * kDim * kDim,
                       .key_dim = kDim,
                       .value_dim = kDim,
                       .n_before = first,
                       .n_tokens = size,
                       .k = d.keys.data(),
                       .u = d.u.data() + state * kDeltaChunk,
                       .reach = d.reach[state].data(),
                       .by_key = d.by_key.data(),
                       .by_query = d.by_query.data(),
                       .q = q,
                       .qk_stride = kDim,
                       .v = d.v.data() + at * kDim,
                       .v_stride = kDim,
                       .decay = d.decay.data(),
                       .beta = d.beta.data(),
                       .gate_stride = 1,
                       .out = d.out.data() + at * kDim,
                       .out_stride = kDim});
    at += size;
  }
}

using Form = void (*)(Data&, const KernelTable&, size_t, int, int);

// States take turns; all of them stand at the same place of their chunk.
void Case(benchmark::State& state, Form form, const KernelTable& table, int n) {
  Data& data = Data::Get();
  std::fill(data.states.begin(), data.states.end(), 0.0F);
  std::fill(data.changes.begin(), data.changes.end(), 0.0F);
  size_t at = 0;
  int before = 0;
  for (auto _ : state) {
    form(data, table, at, before, n);
    if (++at == kStates) {
      at = 0;
      before = (before + n) % kDeltaChunk;
    }
  }
  state.SetItemsProcessed(state.iterations() * n);
}

// Before main, which matmul_bench.cc holds.
bool RegisterAll() {
  for (const Isa isa : OfferedIsas()) {
    if (isa == Isa::kRef) continue;
    for (const int n : {1, 32, 256}) {
      for (const auto& [name, form] : {std::pair<const char*, Form>{"recurrent", Recurrent}, {"chunked", Chunked}}) {
        benchmark::RegisterBenchmark(fmt::format("delta_{}/{}/n={}", name, IsaName(isa), n).c_str(),
                                     [form, isa, n](benchmark::State& s) { Case(s, form, *TableFor(isa), n); });
      }
    }
  }
  return true;
}

[[maybe_unused]] const bool kRegistered = RegisterAll();

}  // namespace
}  // namespace quern::kernels
