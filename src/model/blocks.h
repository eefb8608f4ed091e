// The parts that layers are made of. Each adds its output to the residual stream ctx.x.
#pragma once

#include "model/forward.h"
#include "model/weights.h"

namespace quern::model {

// x += o(attention(rope(norm(q)), rope(norm(k)), v)) of mixer_norm(x). Stores the rows' keys and values first, so that
// rows of one segment see each other. ctx.act.cos and sin are filled.
void AttentionBlock(const LayerWeights& weights, int layer, ForwardContext& ctx);

// x += down(silu(gate(h)) * up(h)), h = ffn_norm(x).
void FfnBlock(const LayerWeights& weights, const FfnWeights& ffn, ForwardContext& ctx);

// x += sum over k of weight_k * expert_k(h), h = ffn_norm(x). Rows are gathered per expert; a row's terms are added in
// the order of its own ranking, whatever other rows are there.
void MoeBlock(const LayerWeights& weights, const MoeWeights& moe, ForwardContext& ctx);

}  // namespace quern::model
