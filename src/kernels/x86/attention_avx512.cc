#include <immintrin.h>

#include "kernels/x86/exp_avx512-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {
namespace {

struct F32Kv {
  static constexpr size_t kBytes = 4;
  static __m512 Load(const std::byte* p, __mmask16 m) { return _mm512_maskz_loadu_ps(m, p); }
};

struct F16Kv {
  static constexpr size_t kBytes = 2;
  static __m512 Load(const std::byte* p, __mmask16 m) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, p)); }
};

inline __mmask16 MaskFor(int left) {
  return left >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1U << left) - 1);
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
    __m512 acc[N];
    for (int i = 0; i < N; ++i) acc[i] = _mm512_setzero_ps();
    for (int c = 0; c < tile.head_dim; c += 16) {
      const __mmask16 m = MaskFor(tile.head_dim - c);
      const __m512 key = Kv::Load(k + static_cast<size_t>(c) * Kv::kBytes, m);
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) {
        acc[i] = _mm512_fmadd_ps(key, _mm512_maskz_loadu_ps(m, q + i * tile.head_dim + c), acc[i]);
      }
    }
    for (int i = 0; i < N; ++i) score[i][t] = _mm512_reduce_add_ps(acc[i]) * tile.scale;
  }
}

// score becomes exp(score - max).
void Exponentiate(const AttentionTile& tile, int head, float* score) {
  __m512 max = _mm512_set1_ps(-__builtin_inff());
  for (int t = 0; t < tile.n_tokens; t += 16) {
    const __mmask16 m = MaskFor(tile.n_tokens - t);
    max = _mm512_mask_max_ps(max, m, max, _mm512_maskz_loadu_ps(m, score + t));
  }
  const float largest = _mm512_reduce_max_ps(max);
  __m512 sum = _mm512_setzero_ps();
  for (int t = 0; t < tile.n_tokens; t += 16) {
    const __mmask16 m = MaskFor(tile.n_tokens - t);
    const __m512 p = Exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, score + t), _mm512_set1_ps(largest)));
    sum = _mm512_mask_add_ps(sum, m, sum, p);
    _mm512_mask_storeu_ps(score + t, m, p);
  }
  tile.max[head] = largest;
  tile.sum[head] = _mm512_reduce_add_ps(sum);
}

// acc = sum over tokens of p * v for N heads, 64 columns at a time.
template <typename Kv, int N>
void Values(const AttentionTile& tile, int first, const float score[][kAttentionChunk]) {
  for (int begin = 0; begin < tile.head_dim; begin += 64) {
    __mmask16 m[4];
    for (int k = 0; k < 4; ++k) {
      const int left = tile.head_dim - begin - 16 * k;
      m[k] = left > 0 ? MaskFor(left) : static_cast<__mmask16>(0);
    }
    __m512 acc[N][4];
    for (int i = 0; i < N; ++i) {
      for (int k = 0; k < 4; ++k) acc[i][k] = _mm512_setzero_ps();
    }
    for (int t = 0; t < tile.n_tokens; ++t) {
      const std::byte* v = Token<Kv>(tile, tile.v_pages, t) + static_cast<size_t>(begin) * Kv::kBytes;
      __m512 p[N];
      for (int i = 0; i < N; ++i) p[i] = _mm512_set1_ps(score[i][t]);
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const __m512 value = Kv::Load(v + static_cast<size_t>(16 * k) * Kv::kBytes, m[k]);
#pragma GCC unroll 4
        for (int i = 0; i < N; ++i) acc[i][k] = _mm512_fmadd_ps(p[i], value, acc[i][k]);
      }
    }
    for (int i = 0; i < N; ++i) {
      float* out = tile.acc + (first + i) * tile.head_dim + begin;
      for (int k = 0; k < 4; ++k) _mm512_mask_storeu_ps(out + 16 * k, m[k], acc[i][k]);
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
    Run<F16Kv>(tile);
  } else {
    Run<F32Kv>(tile);
  }
}

}  // namespace quern::kernels::avx512
