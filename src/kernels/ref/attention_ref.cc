#include <cmath>
#include <cstring>

#include "kernels/ref/ref.h"

namespace quern::kernels::ref {
namespace {

// head_dim values of one token.
void LoadToken(const AttentionTile& tile, const std::byte* const* pages, int token, float* out) {
  const size_t n = static_cast<size_t>(tile.head_dim);
  const size_t slot = static_cast<size_t>(token % tile.page_tokens);
  const std::byte* page = pages[token / tile.page_tokens] + tile.head_offset_bytes;
  if (tile.type == KvType::kF32) {
    std::memcpy(out, page + slot * n * 4, n * 4);
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    uint16_t half;
    std::memcpy(&half, page + (slot * n + i) * 2, sizeof(half));
    out[i] = F16ToF32(half);
  }
}

}  // namespace

void Attention(const AttentionTile& tile) {
  float token[kMaxHeadDim];
  float score[kAttentionChunk];
  for (int h = 0; h < tile.n_q; ++h) {
    const float* q = tile.q + static_cast<ptrdiff_t>(h) * tile.head_dim;
    float* acc = tile.acc + static_cast<ptrdiff_t>(h) * tile.head_dim;
    float max = -INFINITY;
    for (int t = 0; t < tile.n_tokens; ++t) {
      LoadToken(tile, tile.k_pages, t, token);
      float dot = 0;
      for (int i = 0; i < tile.head_dim; ++i) dot += q[i] * token[i];
      score[t] = dot * tile.scale;
      max = std::fmax(max, score[t]);
    }
    float sum = 0;
    for (int i = 0; i < tile.head_dim; ++i) acc[i] = 0;
    for (int t = 0; t < tile.n_tokens; ++t) {
      const float p = std::exp(score[t] - max);
      sum += p;
      LoadToken(tile, tile.v_pages, t, token);
      for (int i = 0; i < tile.head_dim; ++i) acc[i] += p * token[i];
    }
    tile.max[h] = max;
    tile.sum[h] = sum;
  }
}

}  // namespace quern::kernels::ref
