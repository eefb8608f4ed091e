// The gated delta rule by chunks (DeltaChunkTile) over vectors of one instruction set. Vec offers T, kLanes, Load,
// Store, LoadPart, StorePart (the first n lanes), Set, Zero, Sub, Mul, Fma (a * b + c), Sum. Anonymous on purpose, see
// tile-inl.h.
#pragma once

#include "kernels/tile.h"

namespace quern::kernels {
namespace {

// kVectors vectors of columns from c on; with kPart there is one and only `left` of its lanes count.
template <typename Vec, int kVectors, bool kPart>
struct ChunkStrip {
  using T = typename Vec::T;
  static_assert(!kPart || kVectors == 1);

  const DeltaChunkTile& tile;
  int64_t c;
  int left;

  float* Change(int row) const { return tile.u + row * tile.value_dim + c; }

  void Load(const float* p, T* out) const {
    for (int j = 0; j < kVectors; ++j) out[j] = kPart ? Vec::LoadPart(p, left) : Vec::Load(p + j * Vec::kLanes);
  }
  void Store(float* p, const T* values) const {
    for (int j = 0; j < kVectors; ++j) {
      if constexpr (kPart) {
        Vec::StorePart(p, left, values[j]);
      } else {
        Vec::Store(p + j * Vec::kLanes, values[j]);
      }
    }
  }

  // S^T k into the changes' rows and S^T q into the outputs' of new tokens [first, first + kTokens): what the rows
  // [i, end) of S add to it.
  template <int kTokens>
  void ReadState(int first, int64_t i, int64_t end) const {
    T by_k[kTokens][kVectors], by_q[kTokens][kVectors];
    const float* k[kTokens];
    const float* q[kTokens];
    for (int t = 0; t < kTokens; ++t) {
      k[t] = tile.k[tile.n_before + first + t];
      q[t] = tile.q + (first + t) * tile.qk_stride;
      if (i > 0) {
        Load(Change(tile.n_before + first + t), by_k[t]);
        Load(tile.out + (first + t) * tile.out_stride + c, by_q[t]);
        continue;
      }
      for (int j = 0; j < kVectors; ++j) by_k[t][j] = by_q[t][j] = Vec::Zero();
    }
    const float* s = tile.state + i * tile.value_dim + c;
    for (; i < end; ++i, s += tile.value_dim) {
      T row[kVectors];
      Load(s, row);
      for (int t = 0; t < kTokens; ++t) {
        const T key = Vec::Set(k[t][i]);
        const T query = Vec::Set(q[t][i]);
        for (int j = 0; j < kVectors; ++j) {
          by_k[t][j] = Vec::Fma(row[j], key, by_k[t][j]);
          by_q[t][j] = Vec::Fma(row[j], query, by_q[t][j]);
        }
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      Store(Change(tile.n_before + first + t), by_k[t]);
      Store(tile.out + (first + t) * tile.out_stride + c, by_q[t]);
    }
  }

  // The change and the output of new token t from what ReadState left and the changes of the tokens before it.
  // whole: how much of S is left; by_key[m], by_query[m]: how much of token m's change the token's key and query see.
  void Solve(int t, float whole, const float* by_key, const float* by_query) const {
    const int row = tile.n_before + t;
    float* out = tile.out + t * tile.out_stride + c;
    T known[kVectors], seen[kVectors], change[kVectors];
    Load(Change(row), known);
    Load(out, seen);
    const T of_state = Vec::Set(whole);
    for (int j = 0; j < kVectors; ++j) {
      known[j] = Vec::Mul(known[j], of_state);
      seen[j] = Vec::Mul(seen[j], of_state);
    }
    for (int m = 0; m < row; ++m) {
      const T for_key = Vec::Set(by_key[m]);
      const T for_query = Vec::Set(by_query[m]);
      T earlier[kVectors];
      Load(Change(m), earlier);
      for (int j = 0; j < kVectors; ++j) {
        known[j] = Vec::Fma(earlier[j], for_key, known[j]);
        seen[j] = Vec::Fma(earlier[j], for_query, seen[j]);
      }
    }
    const T beta = Vec::Set(tile.beta[t * tile.gate_stride]);
    const T own = Vec::Set(by_query[row]);
    Load(tile.v + t * tile.v_stride + c, change);
    for (int j = 0; j < kVectors; ++j) {
      change[j] = Vec::Mul(beta, Vec::Sub(change[j], known[j]));
      seen[j] = Vec::Fma(change[j], own, seen[j]);
    }
    Store(Change(row), change);
    Store(out, seen);
  }

  // S = reach[0] S + sum over m of k_m (reach[m + 1] u_m)^T, kKeys rows of S at a time.
  template <int kKeys>
  void AddChanges(float whole, const T (*scaled)[kVectors], int64_t i) const {
    T sum[kKeys][kVectors];
    const T of_state = Vec::Set(whole);
    float* s = tile.state + i * tile.value_dim + c;
    for (int r = 0; r < kKeys; ++r) {
      Load(s + r * tile.value_dim, sum[r]);
      for (int j = 0; j < kVectors; ++j) sum[r][j] = Vec::Mul(sum[r][j], of_state);
    }
    for (int m = 0; m < kDeltaChunk; ++m) {
      for (int r = 0; r < kKeys; ++r) {
        const T key = Vec::Set(tile.k[m][i + r]);
        for (int j = 0; j < kVectors; ++j) sum[r][j] = Vec::Fma(scaled[m][j], key, sum[r][j]);
      }
    }
    for (int r = 0; r < kKeys; ++r) Store(s + r * tile.value_dim, sum[r]);
  }

  void Fold(const float* reach) const {
    T scaled[kDeltaChunk][kVectors];
    for (int m = 0; m < kDeltaChunk; ++m) {
      Load(Change(m), scaled[m]);
      const T left_of_it = Vec::Set(reach[m + 1]);
      for (int j = 0; j < kVectors; ++j) scaled[m][j] = Vec::Mul(scaled[m][j], left_of_it);
    }
    int64_t i = 0;
    for (; i + 4 <= tile.key_dim; i += 4) AddChanges<4>(reach[0], scaled, i);
    for (; i < tile.key_dim; ++i) AddChanges<1>(reach[0], scaled, i);
  }
};

// body(strip) for all columns, kWide vectors at a time as far as they go.
template <typename Vec, int kWide, typename Body>
void ForStrips(const DeltaChunkTile& tile, Body body) {
  int64_t c = 0;
  for (; c + kWide * Vec::kLanes <= tile.value_dim; c += kWide * Vec::kLanes) {
    body(ChunkStrip<Vec, kWide, false>{tile, c, 0});
  }
  for (; c + Vec::kLanes <= tile.value_dim; c += Vec::kLanes) body(ChunkStrip<Vec, 1, false>{tile, c, 0});
  if (c < tile.value_dim) body(ChunkStrip<Vec, 1, true>{tile, c, static_cast<int>(tile.value_dim - c)});
}

// What is left of the chunk's start (reach[0]) and of each token's change (reach[m + 1]) after n tokens.
inline void ReachOf(const float* decay, int n, float* reach) {
  reach[n] = 1.0F;
  for (int m = n; m > 0; --m) reach[m - 1] = reach[m] * decay[m - 1];
}

// S^T k and S^T q of all new tokens. Two tokens at a time read a strip of S after the other, out of the cache. A single
// one has S from memory, kRows rows at a time, so that it comes in the order in which it lies there.
template <typename Vec, int kWide, int kRows>
void ReadStates(const DeltaChunkTile& tile) {
  ForStrips<Vec, kWide>(tile, [&](const auto& strip) {
    for (int t = 0; t + 2 <= tile.n_tokens; t += 2) strip.template ReadState<2>(t, 0, tile.key_dim);
  });
  if (tile.n_tokens % 2 == 0) return;
  for (int64_t i = 0; i < tile.key_dim; i += kRows) {
    const int64_t end = i + kRows < tile.key_dim ? i + kRows : tile.key_dim;
    ForStrips<Vec, 2 * kWide>(tile, [&](const auto& strip) { strip.template ReadState<1>(tile.n_tokens - 1, i, end); });
  }
}

// kWide vectors of columns for two tokens at a time, twice as many for one: as many sums as registers hold, and enough
// of them that none waits for the one before it. kRows: see ReadStates.
template <typename Vec, int kWide, int kRows>
void RunDeltaChunk(const DeltaChunkTile& tile) {
  ReadStates<Vec, kWide, kRows>(tile);
  float reach[kDeltaChunk + 1];
  for (int t = 0; t < tile.n_tokens; ++t) {
    const int row = tile.n_before + t;
    ReachOf(tile.decay, row + 1, reach);
    float by_key[kDeltaChunk], by_query[kDeltaChunk];
    for (int m = 0; m <= row; ++m) {
      by_key[m] = tile.by_key[t * kDeltaChunk + m] * reach[m + 1];
      by_query[m] = tile.by_query[t * kDeltaChunk + m] * reach[m + 1];
    }
    ForStrips<Vec, 4>(tile, [&](const auto& strip) { strip.Solve(t, reach[0], by_key, by_query); });
  }
  if (tile.n_before + tile.n_tokens == kDeltaChunk) {
    ForStrips<Vec, kWide>(tile, [&](const auto& strip) { strip.Fold(reach); });
  }
}

// Dot products of n new tokens' keys and queries with the keys up to their own.
template <typename Vec>
void RunDeltaProducts(const DeltaProductsTile& tile) {
  for (int t = 0; t < tile.n_tokens; ++t) {
    const float* q = tile.q + t * tile.qk_stride;
    const float* k = tile.k[tile.n_before + t];
    for (int m = 0; m <= tile.n_before + t; ++m) {
      typename Vec::T by_key = Vec::Zero();
      typename Vec::T by_query = Vec::Zero();
      int64_t i = 0;
      for (; i + Vec::kLanes <= tile.key_dim; i += Vec::kLanes) {
        const typename Vec::T key = Vec::Load(tile.k[m] + i);
        by_key = Vec::Fma(key, Vec::Load(k + i), by_key);
        by_query = Vec::Fma(key, Vec::Load(q + i), by_query);
      }
      if (i < tile.key_dim) {
        const int left = static_cast<int>(tile.key_dim - i);
        const typename Vec::T key = Vec::LoadPart(tile.k[m] + i, left);
        by_key = Vec::Fma(key, Vec::LoadPart(k + i, left), by_key);
        by_query = Vec::Fma(key, Vec::LoadPart(q + i, left), by_query);
      }
      tile.by_key[t * kDeltaChunk + m] = Vec::Sum(by_key);
      tile.by_query[t * kDeltaChunk + m] = Vec::Sum(by_query);
    }
  }
}

}  // namespace
}  // namespace quern::kernels
