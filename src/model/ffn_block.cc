#include <array>

#include "kernels/ops.h"
#include "model/blocks.h"

namespace quern::model {

void FfnBlock(const LayerWeights& weights, const FfnWeights& ffn, ForwardContext& ctx) {
  if (ctx.rows.empty()) return;
  const ModelConfig& c = ctx.config;
  ActivationsBody& act = ctx.act;
  const auto n = static_cast<size_t>(ctx.n_rows());
  const int64_t d_ff = ffn.gate.rows();
  float* h = act.normed.Get(n * static_cast<size_t>(c.d_model));
  const size_t n_mid = n * static_cast<size_t>(d_ff);
  const auto [gate, up, out] = act.block.Get({n_mid, n_mid, n * static_cast<size_t>(c.d_model)});

  kernels::RmsNorm(ctx.In(ctx.x, c.d_model), weights.ffn_norm, c.norm_eps, {h, c.d_model}, ctx.pool);
  const std::array<kernels::MatMulJob, 2> gate_up{{
      {.weights = &ffn.gate, .x = ctx.In(h, c.d_model), .y = {gate, d_ff}, .bias = nullptr, .gather = {}},
      {.weights = &ffn.up, .x = ctx.In(h, c.d_model), .y = {up, d_ff}, .bias = nullptr, .gather = {}},
  }};
  kernels::MatMul(gate_up, act.matmul, ctx.pool);
  kernels::SiluMulRows(ctx.In(gate, d_ff), ctx.In(up, d_ff), d_ff, {gate, d_ff}, ctx.pool);
  kernels::MatMul({.weights = &ffn.down, .x = ctx.In(gate, d_ff), .y = {out, c.d_model}, .bias = nullptr, .gather = {}},
                  act.matmul, ctx.pool);
  ctx.AddToX(out);
}

}  // namespace quern::model
