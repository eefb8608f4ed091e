#include <array>
#include <cmath>
#include <cstring>

#include "kernels/attention.h"
#include "kernels/delta_net.h"
#include "kernels/ops.h"
#include "model/blocks.h"

namespace quern::model {
namespace {

const float* OrNull(const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); }

struct Buffers {
  int64_t d_q, d_kv;
  float* q;  // [n_queries, d_q]
  float* k;  // [n_rows, d_kv]
  float* v;
  // With an attention gate, else null: the projection as it comes, [n_queries, n_heads, 2, head_dim], and its second
  // halves as q.
  float* q_and_gate;
  float* gate;
  float* mixed;  // [n_queries, d_q] attention's output
  float* out;    // [n_queries, d_model]
};

Buffers BuffersFor(const AttentionWeights& w, size_t n_queries, ForwardContext& ctx) {
  const ModelConfig& c = ctx.config;
  const int64_t d_q = int64_t{c.n_heads} * c.head_dim, d_kv = w.k.rows();
  const size_t n_q = n_queries * static_cast<size_t>(d_q);
  const size_t n_kv = static_cast<size_t>(ctx.n_rows() * d_kv);
  const size_t n_gate = c.attention_gate ? n_q : 0;
  const auto [q, k, v, q_and_gate, gate, mixed, out] =
      ctx.act.block.Get({n_q, n_kv, n_kv, 2 * n_gate, n_gate, n_q, n_queries * static_cast<size_t>(c.d_model)});
  return {.d_q = d_q,
          .d_kv = d_kv,
          .q = q,
          .k = k,
          .v = v,
          .q_and_gate = c.attention_gate ? q_and_gate : nullptr,
          .gate = c.attention_gate ? gate : nullptr,
          .mixed = mixed,
          .out = out};
}

// Each head's query and gate apart.
void SplitGate(const Buffers& b, int64_t query, const ModelConfig& c) {
  const auto bytes = static_cast<size_t>(c.head_dim) * sizeof(float);
  for (int64_t head = 0; head < c.n_heads; ++head) {
    const float* from = b.q_and_gate + query * 2 * b.d_q + head * 2 * c.head_dim;
    std::memcpy(b.q + query * b.d_q + head * c.head_dim, from, bytes);
    std::memcpy(b.gate + query * b.d_q + head * c.head_dim, from + c.head_dim, bytes);
  }
}

// Norm per head and rotary embedding as the row's position has it.
void NormAndRotate(float* heads, int n_heads, const std::vector<float>& norm, int64_t row, const ForwardContext& ctx) {
  if (!norm.empty()) kernels::RmsNormHeads(heads, n_heads, norm, ctx.config.norm_eps);
  const auto n_pairs = static_cast<size_t>(ctx.n_rope_pairs);
  const std::span<const float> cos(ctx.cos + static_cast<size_t>(row) * n_pairs, n_pairs);
  const std::span<const float> sin(ctx.sin + static_cast<size_t>(row) * n_pairs, n_pairs);
  kernels::Rope(heads, n_heads, ctx.config.head_dim, cos, sin);
}

void FinishQuery(const AttentionWeights& w, const Buffers& b, int64_t query, int64_t row, const ForwardContext& ctx) {
  if (b.gate != nullptr) SplitGate(b, query, ctx.config);
  NormAndRotate(b.q + query * b.d_q, ctx.config.n_heads, w.q_norm, row, ctx);
}

// The cache entry that later rows will read.
void StoreRow(const AttentionWeights& w, int layer, const Buffers& b, int64_t row, const ForwardContext& ctx) {
  float* k = b.k + row * b.d_kv;
  NormAndRotate(k, ctx.config.n_kv_heads, w.k_norm, row, ctx);
  const BatchRow& batch_row = ctx.rows[static_cast<size_t>(row)];
  batch_row.sequence->Store(layer, batch_row.position, k, b.v + row * b.d_kv);
}

// Queries of the wanted rows, keys and values of all, these stored. Afterwards ctx has the wanted rows alone.
Buffers Project(const LayerWeights& weights, int layer, ForwardContext& ctx) {
  const AttentionWeights& w = weights.attention;
  const ModelConfig& c = ctx.config;
  ActivationsBody& act = ctx.act;
  const auto n = static_cast<size_t>(ctx.n_rows());
  const auto gather = ctx.wanted != nullptr ? std::span<const int32_t>(*ctx.wanted) : std::span<const int32_t>();
  const size_t n_queries = ctx.wanted != nullptr ? gather.size() : n;
  const Buffers b = BuffersFor(w, n_queries, ctx);
  float* h = act.normed.Get(n * static_cast<size_t>(c.d_model));
  kernels::RmsNorm(ctx.In(ctx.x, c.d_model), weights.mixer_norm, c.norm_eps, {h, c.d_model}, ctx.pool);
  const kernels::RowsIn in = ctx.In(h, c.d_model);
  const kernels::RowsOut q_out{b.gate != nullptr ? b.q_and_gate : b.q, w.q.rows()};
  const std::array<kernels::MatMulJob, 3> kvq{{
      {.weights = &w.k, .x = in, .y = {b.k, b.d_kv}, .bias = OrNull(w.k_bias), .gather = {}},
      {.weights = &w.v, .x = in, .y = {b.v, b.d_kv}, .bias = OrNull(w.v_bias), .gather = {}},
      {.weights = &w.q, .x = in, .y = q_out, .bias = OrNull(w.q_bias), .gather = gather},
  }};
  kernels::MatMul(std::span(kvq).first(n_queries > 0 ? 3 : 2), act.matmul, ctx.pool);
  ctx.ForRows(b.d_q + b.d_kv, [&](int64_t row) {
    StoreRow(w, layer, b, row, ctx);
    if (ctx.wanted == nullptr) FinishQuery(w, b, row, row, ctx);
  });
  if (ctx.wanted != nullptr) {
    for (size_t i = 0; i < n_queries; ++i) FinishQuery(w, b, static_cast<int64_t>(i), gather[i], ctx);
    ctx.KeepWanted();
  }
  return b;
}

}  // namespace

void AttentionBlock(const LayerWeights& weights, int layer, ForwardContext& ctx) {
  const ModelConfig& c = ctx.config;
  ActivationsBody& act = ctx.act;
  if (ctx.rows.empty()) return;
  const Buffers b = Project(weights, layer, ctx);
  if (ctx.rows.empty()) return;

  const auto n = static_cast<size_t>(ctx.n_rows());
  act.attention_rows.resize(n);
  for (size_t row = 0; row < n; ++row) {
    const BatchRow& r = ctx.rows[row];
    act.attention_rows[row] = {.q = b.q + row * static_cast<size_t>(b.d_q),
                               .out = b.mixed + row * static_cast<size_t>(b.d_q),
                               .k_pages = r.sequence->k_pages(layer),
                               .v_pages = r.sequence->v_pages(layer),
                               .n_context = r.position + 1};
  }
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  kernels::Attention(act.attention_rows, ctx.rows.front().sequence->pool().layout(), c.n_heads, scale, act.attention,
                     ctx.pool);
  if (b.gate != nullptr) {
    ctx.ForRows(b.d_q, [&](int64_t row) {
      const int64_t at = row * b.d_q;
      kernels::SigmoidMul(b.mixed + at, b.gate + at, b.d_q, b.mixed + at);
    });
  }

  const kernels::Matrix& o = weights.attention.o;
  kernels::MatMul({.weights = &o, .x = ctx.In(b.mixed, b.d_q), .y = {b.out, c.d_model}, .bias = nullptr, .gather = {}},
                  act.matmul, ctx.pool);
  ctx.AddToX(b.out);
}

}  // namespace quern::model
