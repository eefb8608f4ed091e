#include "kernels/ref/ref.h"

namespace quern::kernels::ref {
namespace {

// S^T x, column c.
float ReadState(const DeltaChunkTile& tile, const float* x, int64_t c) {
  float sum = 0;
  for (int64_t i = 0; i < tile.key_dim; ++i) sum += tile.state[i * tile.value_dim + c] * x[i];
  return sum;
}

void TakeToken(const DeltaChunkTile& tile, int t) {
  const int row = tile.n_before + t;
  float* reach = tile.reach;
  for (int m = 0; m <= row; ++m) reach[m] *= tile.decay[t * tile.gate_stride];
  reach[row + 1] = 1.0F;
  const float* by_key = tile.by_key + t * kDeltaChunk;
  const float* by_query = tile.by_query + t * kDeltaChunk;
  for (int64_t c = 0; c < tile.value_dim; ++c) {
    float known = ReadState(tile, tile.k[row], c) * reach[0];
    float seen = ReadState(tile, tile.q + t * tile.qk_stride, c) * reach[0];
    for (int m = 0; m < row; ++m) {
      known += tile.u[m][c] * (by_key[m] * reach[m + 1]);
      seen += tile.u[m][c] * (by_query[m] * reach[m + 1]);
    }
    tile.u[row][c] = tile.beta[t * tile.gate_stride] * (tile.v[t * tile.v_stride + c] - known);
    tile.out[t * tile.out_stride + c] = seen + tile.u[row][c] * by_query[row];
  }
}

void Fold(const DeltaChunkTile& tile) {
  for (int64_t i = 0; i < tile.key_dim; ++i) {
    for (int64_t c = 0; c < tile.value_dim; ++c) {
      float* s = tile.state + i * tile.value_dim + c;
      float sum = *s * tile.reach[0];
      for (int m = 0; m < kDeltaChunk; ++m) sum += tile.k[m][i] * (tile.u[m][c] * tile.reach[m + 1]);
      *s = sum;
    }
  }
}

}  // namespace

void DeltaChunk(const DeltaChunkTile& tile) {
  if (tile.n_before == 0) tile.reach[0] = 1.0F;
  for (int t = 0; t < tile.n_tokens; ++t) TakeToken(tile, t);
  if (tile.n_before + tile.n_tokens == kDeltaChunk) Fold(tile);
}

void DeltaProducts(const DeltaProductsTile& tile) {
  for (int t = 0; t < tile.n_tokens; ++t) {
    for (int m = 0; m <= tile.n_before + t; ++m) {
      float by_key = 0;
      float by_query = 0;
      for (int64_t i = 0; i < tile.key_dim; ++i) {
        by_key += tile.k[m][i] * tile.k[tile.n_before + t][i];
        by_query += tile.k[m][i] * tile.q[t * tile.qk_stride + i];
      }
      tile.by_key[t * kDeltaChunk + m] = by_key;
      tile.by_query[t * kDeltaChunk + m] = by_query;
    }
  }
}

}  // namespace quern::kernels::ref
