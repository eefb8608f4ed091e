#include "kernels/ref/ref.h"

namespace quern::kernels::ref {
namespace {

// S^T x, column c.
float ReadState(const DeltaChunkTile& tile, const float* x, int64_t c) {
  float sum = 0;
  for (int64_t i = 0; i < tile.key_dim; ++i) sum += tile.state[i * tile.value_dim + c] * x[i];
  return sum;
}

// reach(start, n - 1) and reach(m, n - 1) of m = 0 .. n - 1.
void ReachOf(const float* decay, int n, float* reach) {
  reach[n] = 1.0F;
  for (int m = n; m > 0; --m) reach[m - 1] = reach[m] * decay[m - 1];
}

void TakeToken(const DeltaChunkTile& tile, int t, const float* reach) {
  const int row = tile.n_before + t;
  const float* by_key = tile.by_key + t * kDeltaChunk;
  const float* by_query = tile.by_query + t * kDeltaChunk;
  for (int64_t c = 0; c < tile.value_dim; ++c) {
    float* u = tile.u + c;
    float known = ReadState(tile, tile.k[row], c) * reach[0];
    float seen = ReadState(tile, tile.q + t * tile.qk_stride, c) * reach[0];
    for (int m = 0; m < row; ++m) {
      known += u[m * tile.value_dim] * (by_key[m] * reach[m + 1]);
      seen += u[m * tile.value_dim] * (by_query[m] * reach[m + 1]);
    }
    const float change = tile.beta[t * tile.gate_stride] * (tile.v[t * tile.v_stride + c] - known);
    u[row * tile.value_dim] = change;
    tile.out[t * tile.out_stride + c] = seen + change * by_query[row];
  }
}

void Fold(const DeltaChunkTile& tile, const float* reach) {
  for (int64_t i = 0; i < tile.key_dim; ++i) {
    for (int64_t c = 0; c < tile.value_dim; ++c) {
      float* s = tile.state + i * tile.value_dim + c;
      float sum = *s * reach[0];
      for (int m = 0; m < kDeltaChunk; ++m) sum += tile.k[m][i] * (tile.u[m * tile.value_dim + c] * reach[m + 1]);
      *s = sum;
    }
  }
}

}  // namespace

void DeltaChunk(const DeltaChunkTile& tile) {
  float reach[kDeltaChunk + 1];
  for (int t = 0; t < tile.n_tokens; ++t) {
    ReachOf(tile.decay, tile.n_before + t + 1, reach);
    TakeToken(tile, t, reach);
  }
  if (tile.n_before + tile.n_tokens == kDeltaChunk) Fold(tile, reach);
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
