// The parts that layers are made of. Each adds its output to the residual stream ctx.x; without rows it does nothing.
#pragma once

#include "model/forward.h"
#include "model/weights.h"

namespace quern::model {

// x += o(attention(rope(norm(q)), rope(norm(k)), v)) of mixer_norm(x), with an attention gate o(attention *
// sigmoid(gate)). Stores the rows' keys and values first, so that rows of one segment see each other; layer counts
// attention layers. ctx.act.cos and sin are filled. Where ctx.wanted is set every row leaves its key and value behind,
// the wanted ones alone attend, and ctx has no others afterwards.
void AttentionBlock(const LayerWeights& weights, int layer, ForwardContext& ctx);

// x += out(norm(delta rule) * silu(z)) of mixer_norm(x); the sequences' recurrent states and convolution histories move
// on by their rows, one token after the other.
void DeltaNetBlock(const LayerWeights& weights, ForwardContext& ctx);

// x += down(silu(gate(h)) * up(h)), h = ffn_norm(x).
void FfnBlock(const LayerWeights& weights, const FfnWeights& ffn, ForwardContext& ctx);

// x += sum over k of weight_k * expert_k(h), h = ffn_norm(x). Rows are gathered per expert; a row's terms are added in
// the order of its own ranking, whatever other rows are there. Last comes sigmoid(shared_gate h) * shared(h), if any.
void MoeBlock(const LayerWeights& weights, const MoeWeights& moe, ForwardContext& ctx);

}  // namespace quern::model
