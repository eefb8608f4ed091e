// The gated delta rule at the size of a Qwen3-Coder-Next head (128 x 128).
//   quern_kernels_bench --benchmark_filter=delta
// One thread. 1024 states (64 MiB) take turns, so that a state comes from memory as it does between two steps of a
// model. n: tokens per call: 1 is decoding, 32 and more are prompts. items: tokens of one head.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "kernels/aligned_buffer.h"
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
    for (int t = 0; t < kMaxTokens; ++t) keys.push_back(k.data() + t * kDim);
  }

  static float* Floats(AlignedBuffer& bytes, size_t n) {
    return reinterpret_cast<float*>(bytes.Get(n * sizeof(float)));
  }

  static Data& Get() {
    static Data data;
    return data;
  }

  std::vector<float> q, k, v;
  std::vector<float> out = std::vector<float>(size_t{kMaxTokens} * kDim);
  std::vector<float> decay = std::vector<float>(kMaxTokens, 0.9F);
  std::vector<float> beta = std::vector<float>(kMaxTokens, 0.5F);
  AlignedBuffer state_bytes, change_bytes;  // at a line's start, as a model keeps them
  float* states = Floats(state_bytes, kStates* kDim* kDim);
  float* changes = Floats(change_bytes, kStates* kDeltaChunk* kDim);
  std::vector<const float*> keys;
  std::array<float, size_t{kDeltaChunk} * kDeltaChunk> by_key{}, by_query{};
};

// Products are made once for two heads, as in Qwen3-Coder-Next: half of the calls make them.
void TakeTokens(Data& d, const KernelTable& table, size_t state, int before, int n) {
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
    table.delta_chunk({.state = d.states + state * kDim * kDim,
                       .key_dim = kDim,
                       .value_dim = kDim,
                       .n_before = first,
                       .n_tokens = size,
                       .k = d.keys.data(),
                       .decay = d.decay.data(),
                       .u = d.changes + state * kDeltaChunk * kDim,
                       .by_key = d.by_key.data(),
                       .by_query = d.by_query.data(),
                       .q = q,
                       .qk_stride = kDim,
                       .v = d.v.data() + at * kDim,
                       .v_stride = kDim,
                       .beta = d.beta.data(),
                       .gate_stride = 1,
                       .out = d.out.data() + at * kDim,
                       .out_stride = kDim});
    at += size;
  }
}

// States take turns; all of them stand at the same place of their chunk.
void Case(benchmark::State& state, const KernelTable& table, int n) {
  Data& data = Data::Get();
  std::fill_n(data.states, kStates * kDim * kDim, 0.0F);
  std::fill_n(data.changes, kStates * kDeltaChunk * kDim, 0.0F);
  size_t at = 0;
  int before = 0;
  for (auto _ : state) {
    TakeTokens(data, table, at, before, n);
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
      benchmark::RegisterBenchmark(fmt::format("delta/{}/n={}", IsaName(isa), n).c_str(),
                                   [isa, n](benchmark::State& s) { Case(s, *TableFor(isa), n); });
    }
  }
  return true;
}

[[maybe_unused]] const bool kRegistered = RegisterAll();

}  // namespace
}  // namespace quern::kernels
