#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kv_layout.h"
#include "kernels/ref/ref.h"
#include "tensor/dtype.h"

namespace quern::kernels::ref {
namespace {

// The layout of a page that holds this tile's head only.
KvLayout OneHead(const AttentionTile& tile) {
  return {
      .types = {tile.k_type, tile.v_type}, .page_tokens = tile.page_tokens, .n_kv_heads = 1, .head_dim = tile.head_dim};
}

// Query i in plain order, as the scores are computed with it.
void Unpack(const AttentionTile& tile, int i, float* q) {
  const ptrdiff_t block = i / kQueryBlock;
  const int lane = i % kQueryBlock;
  const bool as_is = tile.k_type == KvType::kF32 || tile.k_type == KvType::kF16;
  for (int d = 0; d < tile.head_dim; ++d) {
    const ptrdiff_t at = (block * tile.head_dim + d) * kQueryBlock + lane;
    if (as_is) {
      q[d] = tile.q[at];
      continue;
    }
    const ptrdiff_t pair = ((block * (tile.head_dim / 2) + d / 2) * kQueryBlock + lane) * 2 + d % 2;
    if (tile.k_type == KvType::kBF16) {
      q[d] = Bf16ToF32(static_cast<uint16_t>(tile.q16[pair]));
      continue;
    }
    const int group = tile.k_type == KvType::kI16 ? 0 : d / kKvGroup;
    const ptrdiff_t scale = (block * (tile.head_dim / kKvGroup) + group) * kQueryBlock + lane;
    q[d] = static_cast<float>(tile.q16[pair]) * tile.q_scale[scale];
  }
}

// The scale of a token's values of type i16.
float ValueScale(const AttentionTile& tile, int t) {
  const size_t values = static_cast<size_t>(tile.page_tokens) * static_cast<size_t>(tile.head_dim) * 2;
  float scale;
  std::memcpy(&scale,
              tile.v_pages[t / tile.page_tokens] + tile.v_offset + values +
                  static_cast<size_t>(t % tile.page_tokens) * sizeof(float),
              sizeof(scale));
  return scale;
}

// The weights of a run of tokens, [begin, end), as they meet values of type i16: times their scales, in whole steps.
void RoundRun(const AttentionTile& tile, int begin, int end, float* weight) {
  float total = 0;
  for (int t = begin; t < end; ++t) total += weight[t] * ValueScale(tile, t);
  float step = total / kWeightSum;
  const bool halve = std::any_of(weight + begin, weight + end,
                                 [&, t = begin](float w) mutable { return w * ValueScale(tile, t++) / step > 32767; });
  if (halve) step *= 2;
  for (int t = begin; t < end; ++t) {
    const float scale = ValueScale(tile, t);
    weight[t] = total > 0x1p-100F && scale > 0 ? std::nearbyint(weight[t] * scale / step) * step / scale : 0;
  }
}

}  // namespace

void Attention(const AttentionTile& tile) {
  const KvLayout layout = OneHead(tile);
  float q[kMaxHeadDim];
  float token[kMaxHeadDim];
  for (int i = 0; i < tile.n_q; ++i) {
    Unpack(tile, i, q);
    float* score = tile.score + static_cast<ptrdiff_t>(i) * kAttentionChunk;
    float* acc = tile.acc + static_cast<ptrdiff_t>(i) * tile.head_dim;
    float max = -INFINITY;
    for (int t = 0; t < tile.n_visible[i]; ++t) {
      LoadKeys(layout, tile.k_pages[t / tile.page_tokens] + tile.k_offset, t % tile.page_tokens, token);
      float dot = 0;
      for (int d = 0; d < tile.head_dim; ++d) dot += q[d] * token[d];
      score[t] = dot;
      max = std::fmax(max, dot);
    }
    float sum = 0;
    for (int t = 0; t < tile.n_visible[i]; ++t) {
      const float exact = std::exp(score[t] - max);
      score[t] = tile.v_type == KvType::kBF16 ? Bf16ToF32(F32ToBf16(exact)) : exact;
      sum += score[t];
    }
    for (int t = 0; tile.v_type == KvType::kI16 && t < tile.n_visible[i]; t += kWeightRun) {
      RoundRun(tile, t, std::min(t + kWeightRun, tile.n_visible[i]), score);
    }
    for (int d = 0; d < tile.head_dim; ++d) acc[d] = 0;
    for (int t = 0; t < tile.n_visible[i]; ++t) {
      LoadValues(layout, tile.v_pages[t / tile.page_tokens] + tile.v_offset, t % tile.page_tokens, token);
      for (int d = 0; d < tile.head_dim; ++d) acc[d] += score[t] * token[d];
    }
    tile.max[i] = max;
    tile.sum[i] = sum;
  }
}

}  // namespace quern::kernels::ref
