#include <algorithm>
#include <array>

#include "kernels/delta_net.h"
#include "kernels/ops.h"
#include "model/blocks.h"

namespace quern::model {
namespace {

// Router logits of all rows, [n_rows, n_experts], then each row's experts with their weights, into act.routed.
void Route(const MoeWeights& moe, const float* h, float* logits, ForwardContext& ctx) {
  const ModelConfig& c = ctx.config;
  ActivationsBody& act = ctx.act;
  const auto n = static_cast<size_t>(ctx.n_rows());
  const auto n_experts = static_cast<size_t>(c.n_experts);
  const auto n_used = static_cast<size_t>(c.n_experts_used);
  kernels::MatMul(
      {.weights = &moe.router, .x = ctx.In(h, c.d_model), .y = {logits, c.n_experts}, .bias = nullptr, .gather = {}},
      act.matmul, ctx.pool);
  act.routed.resize(n * n_used);
  ctx.ForRows(c.n_experts, [&](int64_t row) {
    kernels::SelectExperts({logits + static_cast<size_t>(row) * n_experts, n_experts}, c.norm_topk_prob,
                           {act.routed.data() + static_cast<size_t>(row) * n_used, n_used});
  });
}

// Sorts (row, k) pairs by expert: slots of expert e are [expert_start[e], expert_start[e + 1]).
void GroupByExpert(int n_experts, size_t n_used, ActivationsBody& act) {
  const size_t n_slots = act.routed.size();
  act.expert_start.assign(static_cast<size_t>(n_experts) + 1, 0);
  act.slot_row.resize(n_slots);
  act.row_slot.resize(n_slots);
  for (const kernels::RoutedExpert& r : act.routed) ++act.expert_start[static_cast<size_t>(r.expert) + 1];
  for (size_t e = 0; e < static_cast<size_t>(n_experts); ++e) act.expert_start[e + 1] += act.expert_start[e];
  act.expert_fill.assign(act.expert_start.begin(), act.expert_start.end() - 1);
  for (size_t i = 0; i < n_slots; ++i) {
    const int32_t slot = act.expert_fill[static_cast<size_t>(act.routed[i].expert)]++;
    act.slot_row[static_cast<size_t>(slot)] = static_cast<int32_t>(i / n_used);
    act.row_slot[i] = slot;
  }
}

// Which slots an expert computes, as jobs need them.
struct ExpertSlots {
  int64_t first;
  int64_t n;
};

ExpertSlots SlotsOf(const ActivationsBody& act, size_t expert) {
  return {act.expert_start[expert], act.expert_start[expert + 1] - act.expert_start[expert]};
}

void GateAndUp(const MoeWeights& moe, const kernels::RowsIn& h, float* gate, float* up, ForwardContext& ctx) {
  ActivationsBody& act = ctx.act;
  act.jobs.clear();
  for (size_t e = 0; e < moe.experts.size(); ++e) {
    const auto [first, n] = SlotsOf(act, e);
    if (n == 0) continue;
    const FfnWeights& expert = moe.experts[e];
    const int64_t d_ff = expert.gate.rows();
    const std::span<const int32_t> gather(act.slot_row.data() + first, static_cast<size_t>(n));
    act.jobs.push_back({&expert.gate, h, {gate + first * d_ff, d_ff}, nullptr, gather});
    act.jobs.push_back({&expert.up, h, {up + first * d_ff, d_ff}, nullptr, gather});
  }
  kernels::MatMul(act.jobs, act.matmul, ctx.pool);
}

void Down(const MoeWeights& moe, const float* mid, float* out, ForwardContext& ctx) {
  ActivationsBody& act = ctx.act;
  const int64_t d_model = ctx.config.d_model;
  act.jobs.clear();
  for (size_t e = 0; e < moe.experts.size(); ++e) {
    const auto [first, n] = SlotsOf(act, e);
    if (n == 0) continue;
    const FfnWeights& expert = moe.experts[e];
    const int64_t d_ff = expert.down.cols();
    act.jobs.push_back({&expert.down, {mid + first * d_ff, n, d_ff}, {out + first * d_model, d_model}, nullptr, {}});
  }
  kernels::MatMul(act.jobs, act.matmul, ctx.pool);
}

// x += sigmoid(gate h) * shared(h), after the routed experts, in their memory.
void AddShared(const MoeWeights& moe, const float* h, ForwardContext& ctx) {
  const ModelConfig& c = ctx.config;
  ActivationsBody& act = ctx.act;
  const auto n = static_cast<size_t>(ctx.n_rows());
  const int64_t d_ff = c.d_ff_shared;
  const size_t n_mid = n * static_cast<size_t>(d_ff);
  const auto [gate, up, out, weight] = act.block.Get({n_mid, n_mid, n * static_cast<size_t>(c.d_model), n});
  const kernels::RowsIn in = ctx.In(h, c.d_model);
  const std::array<kernels::MatMulJob, 3> jobs{{
      {.weights = &moe.shared.gate, .x = in, .y = {gate, d_ff}, .bias = nullptr, .gather = {}},
      {.weights = &moe.shared.up, .x = in, .y = {up, d_ff}, .bias = nullptr, .gather = {}},
      {.weights = &moe.shared_gate, .x = in, .y = {weight, 1}, .bias = nullptr, .gather = {}},
  }};
  kernels::MatMul(jobs, act.matmul, ctx.pool);
  kernels::SiluMulRows(ctx.In(gate, d_ff), ctx.In(up, d_ff), d_ff, {gate, d_ff}, ctx.pool);
  kernels::MatMul(
      {.weights = &moe.shared.down, .x = ctx.In(gate, d_ff), .y = {out, c.d_model}, .bias = nullptr, .gather = {}},
      act.matmul, ctx.pool);
  ctx.ForRows(c.d_model, [&, out = out, weight = weight](int64_t row) {
    kernels::AddScaled(out + row * c.d_model, kernels::Sigmoid(weight[row]), c.d_model, ctx.x + row * c.d_model);
  });
}

}  // namespace

void MoeBlock(const LayerWeights& weights, const MoeWeights& moe, ForwardContext& ctx) {
  if (ctx.rows.empty()) return;
  const ModelConfig& c = ctx.config;
  ActivationsBody& act = ctx.act;
  const auto n = static_cast<size_t>(ctx.n_rows());
  const auto n_used = static_cast<size_t>(c.n_experts_used);
  const size_t n_slots = n * n_used;
  const size_t n_mid = n_slots * static_cast<size_t>(c.d_ff_expert);
  const auto [logits, gate, up, out] =
      act.block.Get({n * static_cast<size_t>(c.n_experts), n_mid, n_mid, n_slots * static_cast<size_t>(c.d_model)});
  float* h = act.normed.Get(n * static_cast<size_t>(c.d_model));
  kernels::RmsNorm(ctx.In(ctx.x, c.d_model), weights.ffn_norm, c.norm_eps, {h, c.d_model}, ctx.pool);
  Route(moe, h, logits, ctx);
  GroupByExpert(c.n_experts, n_used, act);

  GateAndUp(moe, ctx.In(h, c.d_model), gate, up, ctx);
  const auto slots = [&](const float* data) {
    return kernels::RowsIn{data, static_cast<int64_t>(n_slots), c.d_ff_expert};
  };
  kernels::SiluMulRows(slots(gate), slots(up), c.d_ff_expert, {gate, c.d_ff_expert}, ctx.pool);
  Down(moe, gate, out, ctx);

  ctx.ForRows(c.d_model * int64_t{c.n_experts_used}, [&, out = out](int64_t row) {
    for (size_t k = 0; k < n_used; ++k) {
      const size_t i = static_cast<size_t>(row) * n_used + k;
      kernels::AddScaled(out + int64_t{act.row_slot[i]} * c.d_model, act.routed[i].weight, c.d_model,
                         ctx.x + row * c.d_model);
    }
  });
  if (c.d_ff_shared > 0) AddShared(moe, h, ctx);
}

}  // namespace quern::model
