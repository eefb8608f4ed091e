#include "kernels/x86/vec_avx2-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {
namespace {

template <typename Kv>
__m256 LoadLanes(const std::byte* p, int left) {
  return left >= 8 ? Kv::Full(p) : Kv::Part(p, left);
}

template <typename Kv>
const std::byte* Token(const AttentionTile& tile, const std::byte* const* pages, int t) {
  const auto slot = static_cast<size_t>(t & (tile.page_tokens - 1));
  return pages[t >> __builtin_ctz(static_cast<unsigned>(tile.page_tokens))] + tile.head_offset_bytes +
         slot * static_cast<size_t>(tile.head_dim) * Kv::kBytes;
}

// score[i][t] = scale * q_i . k_t for the N heads from first on.
template <typename Kv, int N>
void Scores(const AttentionTile& tile, int first, float score[][kAttentionChunk]) {
  const float* q = tile.q + first * tile.head_dim;
  for (int t = 0; t < tile.n_tokens; ++t) {
    const std::byte* k = Token<Kv>(tile, tile.k_pages, t);
    __m256 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = _mm256_setzero_ps();
    for (int c = 0; c < tile.head_dim; c += 8) {
      const int left = tile.head_dim - c;
      const __m256 key = LoadLanes<Kv>(k + c * Kv::kBytes, left);
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) {
        acc[i] = _mm256_fmadd_ps(key, _mm256_maskload_ps(q + i * tile.head_dim + c, LaneMask(left)), acc[i]);
      }
    }
    for (int i = 0; i < N; ++i) score[i][t] = Sum(acc[i]) * tile.scale;
  }
}

// score becomes exp(score - max).
void Exponentiate(const AttentionTile& tile, int head, float* score) {
  float largest = score[0];
  for (int t = 1; t < tile.n_tokens; ++t) largest = score[t] > largest ? score[t] : largest;
  __m256 sum = _mm256_setzero_ps();
  for (int t = 0; t < tile.n_tokens; t += 8) {
    const __m256i m = LaneMask(tile.n_tokens - t);
    const __m256 p = Exp(_mm256_sub_ps(_mm256_maskload_ps(score + t, m), _mm256_set1_ps(largest)));
    const __m256 kept = _mm256_and_ps(p, _mm256_castsi256_ps(m));
    sum = _mm256_add_ps(sum, kept);
    _mm256_maskstore_ps(score + t, m, kept);
  }
  tile.max[head] = largest;
  tile.sum[head] = Sum(sum);
}

// acc = sum over tokens of p * v for N heads, 16 columns at a time.
template <typename Kv, int N>
void Values(const AttentionTile& tile, int first, const float score[][kAttentionChunk]) {
  for (int begin = 0; begin < tile.head_dim; begin += 16) {
    const int left = tile.head_dim - begin;
    __m256 acc[N][2];
    for (int i = 0; i < N; ++i) acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (int t = 0; t < tile.n_tokens; ++t) {
      const std::byte* v = Token<Kv>(tile, tile.v_pages, t) + begin * Kv::kBytes;
      const __m256 v0 = LoadLanes<Kv>(v, left);
      const __m256 v1 = left > 8 ? LoadLanes<Kv>(v + 8 * Kv::kBytes, left - 8) : _mm256_setzero_ps();
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) {
        const __m256 p = _mm256_set1_ps(score[i][t]);
        acc[i][0] = _mm256_fmadd_ps(p, v0, acc[i][0]);
        acc[i][1] = _mm256_fmadd_ps(p, v1, acc[i][1]);
      }
    }
    for (int i = 0; i < N; ++i) {
      float* out = tile.acc + (first + i) * tile.head_dim + begin;
      _mm256_maskstore_ps(out, LaneMask(left), acc[i][0]);
      if (left > 8) _mm256_maskstore_ps(out + 8, LaneMask(left - 8), acc[i][1]);
    }
  }
}

template <typename Kv, int N>
void Heads(const AttentionTile& tile, int first) {
  float score[N][kAttentionChunk];
  Scores<Kv, N>(tile, first, score);
  for (int i = 0; i < N; ++i) Exponentiate(tile, first + i, score[i]);
  Values<Kv, N>(tile, first, score);
}

template <typename Kv>
void Run(const AttentionTile& tile) {
  int h = 0;
  for (; h + 4 <= tile.n_q; h += 4) Heads<Kv, 4>(tile, h);
  for (; h + 2 <= tile.n_q; h += 2) Heads<Kv, 2>(tile, h);
  if (h < tile.n_q) Heads<Kv, 1>(tile, h);
}

}  // namespace

void Attention(const AttentionTile& tile) {
  if (tile.type == KvType::kF16) {
    Run<LoadF16>(tile);
  } else {
    Run<LoadF32>(tile);
  }
}

}  // namespace quern::kernels::avx2
