// One chunk of attention, for any vector width. Include it in a file of one instruction set after its Simd:
//
//   F, I           kLanes floats; as many 32-bit integers
//   Load, Store, Set1, Zero, Mul, Add, Fma (a * b + c), Max, Exp
//   First(n)       mask of the first n lanes (n >= kLanes: all); Select(mask, a, b): a where set, else b
//   ReduceMax, ReduceAdd, AnyAbove (whether a lane is larger than a number)
//   LoadI, ZeroI, SetPair (one pair of int16 to all lanes), Dot (c + products of int16 pairs), ToFloat
//   FromF16 (kLanes values in memory)
//   StoreI16 (rounds kLanes values to int16)
//   DotBf16 (c + products of bf16 pairs, in f32), StoreBf16 (rounds kLanes values >= 0, and says to what)
//   SignedPairs<p>, NibblePairs<p>: of kLanes dwords of a q8 or q4 key, the p-th pair of dims as int16
//   FromI8 (kLanes values), FromNibbles (kLanes values of the group's first, or second, half of dims)
//
// Lanes are tokens while scores are made (keys lie by dimension) and dimensions while values are summed, so no sum goes
// across lanes. Every sum runs in order: over the dimensions, over the tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tile.h"

namespace quern::kernels {
namespace {

// Kv: how an element type is read.
template <typename S>
struct KvF32 {
  static constexpr size_t kBytes = 4;
  static typename S::F Load(const std::byte* p) { return S::Load(reinterpret_cast<const float*>(p)); }
};
template <typename S>
struct KvF16 {
  static constexpr size_t kBytes = 2;
  static typename S::F Load(const std::byte* p) { return S::FromF16(p); }
};

// Brings a line near. Keys and values of 16 and 32 bits are read as fast as memory gives them: they go to the second
// cache, as lines on their way to the first take places in its small table of misses and fill it. Those of 8 and 4 bits
// are unpacked slowly enough for the first, which then answers at once. docs/performance.md has the figures.
enum class Cache { kFirst, kSecond };
template <Cache kTo>
inline void Prefetch(const void* p) {
  __builtin_prefetch(p, 0, kTo == Cache::kFirst ? 3 : 2);
}

inline const std::byte* PageOf(const AttentionTile& tile, const std::byte* const* pages, int token) {
  return pages[token >> __builtin_ctz(static_cast<unsigned>(tile.page_tokens))];
}

// Calls Part<N>() for the queries of the tile, at most kBlock at a time.
template <int kBlock, typename Part>
inline void ForBlocks(int n_q, const Part& part) {
  int first = 0;
  for (; first + kBlock <= n_q; first += kBlock) part.template Run<kBlock>(first);
  const int left = n_q - first;
  if (left == 0) return;
  if constexpr (kBlock == 8) {
    if (left > 6) return part.template Run<8>(first);
    if (left > 4) return part.template Run<6>(first);
  }
  if (left > 2) return part.template Run<4>(first);
  if (left == 2) return part.template Run<2>(first);
  part.template Run<1>(first);
}

// ---- Scores ----

// score[i][t] = q_i . k_t for the N queries from first on and two vectors of tokens.
template <typename S, typename Kv>
struct FloatScores {
  const AttentionTile& tile;
  int token;
  const std::byte* k;     // of the first token
  const std::byte* next;  // what is read next: brought near meanwhile

  template <int N>
  void Run(int first) const {
    const size_t stride = static_cast<size_t>(tile.page_tokens) * Kv::kBytes;
    const float* q =
        tile.q + static_cast<ptrdiff_t>(first / kQueryBlock) * tile.head_dim * kQueryBlock + first % kQueryBlock;
    const std::byte* at = k;
    const std::byte* soon = first == 0 ? next : k;
    typename S::F acc[N][2];
    for (int i = 0; i < N; ++i) acc[i][0] = acc[i][1] = S::Zero();
    for (int d = 0; d < tile.head_dim; ++d, at += stride, soon += stride, q += kQueryBlock) {
      const auto k0 = Kv::Load(at);
      const auto k1 = Kv::Load(at + S::kLanes * Kv::kBytes);
      Prefetch<Cache::kSecond>(soon);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const auto each = S::Set1(q[i]);
        acc[i][0] = S::Fma(each, k0, acc[i][0]);
        acc[i][1] = S::Fma(each, k1, acc[i][1]);
      }
    }
    float* score = tile.score + static_cast<ptrdiff_t>(first) * kAttentionChunk + token;
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      S::Store(score + i * kAttentionChunk, acc[i][0]);
      S::Store(score + i * kAttentionChunk + S::kLanes, acc[i][1]);
    }
  }
};

// The same for keys and queries in 16 bits, a pair of dims at a time. Arithmetic: how pairs are multiplied, and whether
// the sums are integers that scales make scores of.
template <typename S>
struct Bf16Pairs {
  using Sum = typename S::F;
  static constexpr bool kScaled = false;
  static Sum Zero() { return S::Zero(); }
  static Sum Dot(Sum c, typename S::I a, typename S::I b) { return S::DotBf16(c, a, b); }
};
template <typename S>
struct FixedPairs {
  using Sum = typename S::I;
  static constexpr bool kScaled = true;
  static Sum Zero() { return S::ZeroI(); }
  static Sum Dot(Sum c, typename S::I a, typename S::I b) { return S::Dot(c, a, b); }
};

template <typename S, typename Arithmetic>
struct PairScores {
  const AttentionTile& tile;
  int token;
  const std::byte* k;
  const std::byte* next;

  template <int N>
  void Run(int first) const {
    const size_t stride = static_cast<size_t>(tile.page_tokens) * 4;
    const int16_t* q = tile.q16 + static_cast<ptrdiff_t>(first / kQueryBlock) * tile.head_dim * kQueryBlock +
                       ptrdiff_t{first % kQueryBlock} * 2;
    const std::byte* at = k;
    const std::byte* soon = first == 0 ? next : k;
    typename Arithmetic::Sum acc[N][2];
    for (int i = 0; i < N; ++i) acc[i][0] = acc[i][1] = Arithmetic::Zero();
    for (int d = 0; d < tile.head_dim; d += 2, at += stride, soon += stride, q += 2 * kQueryBlock) {
      const auto k0 = S::LoadI(at);
      const auto k1 = S::LoadI(at + S::kLanes * 4);
      Prefetch<Cache::kSecond>(soon);
      Prefetch<Cache::kSecond>(soon + S::kLanes * 4);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const auto each = S::SetPair(q + i * 2);
        acc[i][0] = Arithmetic::Dot(acc[i][0], k0, each);
        acc[i][1] = Arithmetic::Dot(acc[i][1], k1, each);
      }
    }
    float* score = tile.score + static_cast<ptrdiff_t>(first) * kAttentionChunk + token;
    if constexpr (Arithmetic::kScaled) {
      // Scales lie behind the keys, as another pair of dims would.
      const auto s0 = S::Load(reinterpret_cast<const float*>(at));
      const auto s1 = S::Load(reinterpret_cast<const float*>(at) + S::kLanes);
      const float* q_scale =
          tile.q_scale + static_cast<ptrdiff_t>(first / kQueryBlock) * (tile.head_dim / kKvGroup) * kQueryBlock;
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const auto each = S::Set1(q_scale[first % kQueryBlock + i]);
        S::Store(score + i * kAttentionChunk, S::Mul(S::ToFloat(acc[i][0]), S::Mul(s0, each)));
        S::Store(score + i * kAttentionChunk + S::kLanes, S::Mul(S::ToFloat(acc[i][1]), S::Mul(s1, each)));
      }
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        S::Store(score + i * kAttentionChunk, acc[i][0]);
        S::Store(score + i * kAttentionChunk + S::kLanes, acc[i][1]);
      }
    }
  }
};

template <typename S>
struct KeysQ8 {
  static constexpr int kDims = 4;  // per dword
  template <int kPair>
  static typename S::I Pairs(typename S::I x) {
    return S::template SignedPairs<kPair>(x);
  }
};
template <typename S>
struct KeysQ4 {
  static constexpr int kDims = 8;
  template <int kPair>
  static typename S::I Pairs(typename S::I x) {
    return S::template NibblePairs<kPair>(x);
  }
};

// The same for quantised keys: exact integer sums per group of dims, then the scales.
template <typename S, typename Kv>
struct IntegerScores {
  const AttentionTile& tile;
  int token;
  const std::byte* k;
  const std::byte* next;
  const std::byte* scales;  // of the first token and group

  template <int N, int kPair>
  static void AddPairs(const int16_t* q, typename S::I x0, typename S::I x1, typename S::I (&acc)[N][2]) {
    const auto k0 = Kv::template Pairs<kPair>(x0);
    const auto k1 = Kv::template Pairs<kPair>(x1);
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      const auto each = S::SetPair(q + (kPair * kQueryBlock + i) * 2);
      acc[i][0] = S::Dot(acc[i][0], k0, each);
      acc[i][1] = S::Dot(acc[i][1], k1, each);
    }
    if constexpr (kPair + 1 < Kv::kDims / 2) AddPairs<N, kPair + 1>(q, x0, x1, acc);
  }

  template <int N>
  void Run(int first) const {
    const size_t stride = static_cast<size_t>(tile.page_tokens) * 4;
    const ptrdiff_t block = first / kQueryBlock;
    const int16_t* q = tile.q16 + block * tile.head_dim * kQueryBlock + ptrdiff_t{first % kQueryBlock} * 2;
    const float* q_scale = tile.q_scale + block * (tile.head_dim / kKvGroup) * kQueryBlock + first % kQueryBlock;
    float* score = tile.score + static_cast<ptrdiff_t>(first) * kAttentionChunk + token;
    const std::byte* at = k;
    const std::byte* soon = first == 0 ? next : k;
    for (int group = 0; group < tile.head_dim / kKvGroup; ++group) {
      typename S::I acc[N][2];
      for (int i = 0; i < N; ++i) acc[i][0] = acc[i][1] = S::ZeroI();
      for (int d = 0; d < kKvGroup; d += Kv::kDims, at += stride, soon += stride, q += Kv::kDims * kQueryBlock) {
        const auto x0 = S::LoadI(at);
        const auto x1 = S::LoadI(at + S::kLanes * 4);
        Prefetch<Cache::kFirst>(soon);
        Prefetch<Cache::kFirst>(soon + S::kLanes * 4);
        AddPairs<N, 0>(q, x0, x1, acc);
      }
      const std::byte* scale = scales + static_cast<size_t>(group) * static_cast<size_t>(tile.page_tokens) * 2;
      const auto s0 = S::FromF16(scale);
      const auto s1 = S::FromF16(scale + S::kLanes * 2);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        float* out = score + i * kAttentionChunk;
        const auto each = S::Set1(q_scale[group * kQueryBlock + i]);
        const auto b0 = group == 0 ? S::Zero() : S::Load(out);
        const auto b1 = group == 0 ? S::Zero() : S::Load(out + S::kLanes);
        S::Store(out, S::Fma(S::ToFloat(acc[i][0]), S::Mul(s0, each), b0));
        S::Store(out + S::kLanes, S::Fma(S::ToFloat(acc[i][1]), S::Mul(s1, each), b1));
      }
    }
  }
};

// Keys of two vectors of tokens; token is a multiple of their number.
template <size_t kBytesPerToken>
inline const std::byte* KeysAt(const AttentionTile& tile, int token) {
  return PageOf(tile, tile.k_pages, token) + tile.k_offset +
         static_cast<size_t>(token & (tile.page_tokens - 1)) * kBytesPerToken;
}

// Scores: FloatScores or PairScores; kBytesPerToken: of the dims that lie side by side.
template <typename S, typename Scores, size_t kBytesPerToken>
void AllScores(const AttentionTile& tile) {
  constexpr int kStep = 2 * S::kLanes;
  for (int t = 0; t < tile.n_tokens; t += kStep) {
    const std::byte* k = KeysAt<kBytesPerToken>(tile, t);
    const std::byte* next = t + kStep < tile.n_tokens ? KeysAt<kBytesPerToken>(tile, t + kStep)
                                                      : PageOf(tile, tile.v_pages, 0) + tile.v_offset;
    ForBlocks<S::kQueries>(tile.n_q, Scores{tile, t, k, next});
  }
}

template <typename S, typename Kv>
void AllFloatScores(const AttentionTile& tile) {
  AllScores<S, FloatScores<S, Kv>, Kv::kBytes>(tile);
}

template <typename S, typename Kv>
void AllIntegerScores(const AttentionTile& tile) {
  constexpr int kStep = 2 * S::kLanes;
  const size_t values = static_cast<size_t>(tile.page_tokens) * static_cast<size_t>(tile.head_dim / Kv::kDims) * 4;
  for (int t = 0; t < tile.n_tokens; t += kStep) {
    const std::byte* k = KeysAt<4>(tile, t);
    const std::byte* next =
        t + kStep < tile.n_tokens ? KeysAt<4>(tile, t + kStep) : PageOf(tile, tile.v_pages, 0) + tile.v_offset;
    const std::byte* scales =
        PageOf(tile, tile.k_pages, t) + tile.k_offset + values + static_cast<size_t>(t & (tile.page_tokens - 1)) * 2;
    ForBlocks<S::kQueries>(tile.n_q, IntegerScores<S, Kv>{tile, t, k, next, scales});
  }
}

// ---- Softmax of the chunk ----

template <typename S>
float LargestScore(const AttentionTile& tile, int query) {
  const float* score = tile.score + static_cast<ptrdiff_t>(query) * kAttentionChunk;
  const int n = tile.n_visible[query];
  auto max = S::Set1(-__builtin_inff());
  for (int t = 0; t < n; t += S::kLanes) {
    max = S::Max(max, S::Select(S::First(n - t), S::Load(score + t), max));
  }
  return S::ReduceMax(max);
}

// A query's scores become exp(score - max); zero for tokens that it does not see. kPairs: rounded to bf16, which take
// the first half of the scores' room.
template <typename S, bool kPairs>
void Exponentiate(const AttentionTile& tile, int query) {
  float* score = tile.score + static_cast<ptrdiff_t>(query) * kAttentionChunk;
  const int n = tile.n_visible[query];
  const float largest = LargestScore<S>(tile, query);
  const auto offset = S::Set1(-largest);
  auto sum = S::Zero();
  for (int t = 0; t < tile.n_tokens; t += S::kLanes) {
    const auto p = S::Select(S::First(n - t), S::Exp(S::Add(S::Load(score + t), offset)), S::Zero());
    if constexpr (kPairs) {
      sum = S::Add(sum, S::StoreBf16(reinterpret_cast<uint16_t*>(score) + t, p));
    } else {
      sum = S::Add(sum, p);
      S::Store(score + t, p);
    }
  }
  tile.max[query] = largest;
  tile.sum[query] = S::ReduceAdd(sum);
}

// Where the scales of a query's runs lie: behind its weights as integers, which take the first half of the scores'
// room.
inline float* RunScales(const AttentionTile& tile, int query) {
  return tile.score + static_cast<ptrdiff_t>(query) * kAttentionChunk + kAttentionChunk / 2;
}

// Scales of the values of a page's tokens, where values are of type i16.
inline const float* ValueScales(const AttentionTile& tile, const std::byte* page) {
  return reinterpret_cast<const float*>(page +
                                        static_cast<size_t>(tile.page_tokens) * static_cast<size_t>(tile.head_dim) * 2);
}

// A run's weights (exp(score - max) times the scales of its values), which sum to total, become integers in `to`.
// Returns what one of them stands for.
template <typename S>
float RunToIntegers(const float* weights, float total, int16_t* to) {
  constexpr int kParts = kWeightRun / S::kLanes;
  const bool some = total > 0x1p-100F;
  const auto inverse = S::Set1(some ? kWeightSum / total : 0);
  typename S::F scaled[kParts];
  auto most = S::Zero();
  for (int i = 0; i < kParts; ++i) {
    scaled[i] = S::Mul(S::Load(weights + i * S::kLanes), inverse);
    most = S::Max(most, scaled[i]);
  }
  const bool halve = S::AnyAbove(most, 32767);
  for (int i = 0; i < kParts; ++i) {
    if (halve) scaled[i] = S::Mul(scaled[i], S::Set1(0.5F));
    S::StoreI16(to + i * S::kLanes, scaled[i]);
  }
  return some ? total * ((halve ? 2 : 1) / kWeightSum) : 0;
}

// Exponentiate for values of type i16.
template <typename S>
void ExponentiateToIntegers(const AttentionTile& tile, int query) {
  float* score = tile.score + static_cast<ptrdiff_t>(query) * kAttentionChunk;
  const int n = tile.n_visible[query];
  const float largest = LargestScore<S>(tile, query);
  const auto offset = S::Set1(-largest);
  auto sum = S::Zero();
  float runs[kAttentionChunk / kWeightRun];
  for (int t = 0; t < tile.n_tokens; t += kWeightRun) {
    const float* v_scale =
        ValueScales(tile, PageOf(tile, tile.v_pages, t) + tile.v_offset) + (t & (tile.page_tokens - 1));
    auto run = S::Zero();
    for (int i = 0; i < kWeightRun; i += S::kLanes) {
      const auto seen = S::First(n - t - i);
      const auto p = S::Exp(S::Add(S::Load(score + t + i), offset));
      sum = S::Add(sum, S::Select(seen, p, S::Zero()));
      const auto weight = S::Select(seen, S::Mul(p, S::Load(v_scale + i)), S::Zero());
      S::Store(score + t + i, weight);
      run = S::Add(run, weight);
    }
    runs[t / kWeightRun] = S::ReduceAdd(run);
  }
  // In a loop of its own: what comes of a run's sum takes long, and the next exponentials need not wait for it.
  for (int t = 0; t < tile.n_tokens; t += kWeightRun) {
    float& run = runs[t / kWeightRun];
    run = RunToIntegers<S>(score + t, run, reinterpret_cast<int16_t*>(score) + t);
  }
  for (int t = 0; t < tile.n_tokens; t += kWeightRun) RunScales(tile, query)[t / kWeightRun] = runs[t / kWeightRun];
  tile.max[query] = largest;
  tile.sum[query] = S::ReduceAdd(sum);
}

// ---- Values ----

// Two vectors of a token's values, from dim d on; row: the token's first value.
template <typename S, typename Kv>
struct ValuesFloat {
  static constexpr Cache kNear = Cache::kSecond;
  const std::byte* page;
  int head_dim;

  static constexpr size_t RowBytes(int head_dim) { return static_cast<size_t>(head_dim) * Kv::kBytes; }
  void Load(int slot, int d, typename S::F& v0, typename S::F& v1) const {
    const std::byte* p =
        page + (static_cast<size_t>(slot) * static_cast<size_t>(head_dim) + static_cast<size_t>(d)) * Kv::kBytes;
    v0 = Kv::Load(p);
    v1 = Kv::Load(p + S::kLanes * Kv::kBytes);
  }
  static size_t ByteOf(int slot, int d, int head_dim) {
    return (static_cast<size_t>(slot) * static_cast<size_t>(head_dim) + static_cast<size_t>(d)) * Kv::kBytes;
  }
};

template <typename S>
typename S::F GroupScale(const std::byte* scales, int slot, int d, int head_dim) {
  uint16_t bits;
  __builtin_memcpy(&bits,
                   scales + (static_cast<size_t>(slot) * static_cast<size_t>(head_dim / kKvGroup) +
                             static_cast<size_t>(d / kKvGroup)) *
                                2,
                   sizeof(bits));
  return S::Set1(S::OneF16(bits));
}

template <typename S>
struct ValuesQ8 {
  static constexpr Cache kNear = Cache::kFirst;
  const std::byte* page;
  int head_dim;
  const std::byte* scales;

  void Load(int slot, int d, typename S::F& v0, typename S::F& v1) const {
    const std::byte* p = page + ByteOf(slot, d, head_dim);
    const auto scale = GroupScale<S>(scales, slot, d, head_dim);
    v0 = S::Mul(S::FromI8(p), scale);
    v1 = S::Mul(S::FromI8(p + S::kLanes), scale);
  }
  static size_t ByteOf(int slot, int d, int head_dim) {
    return static_cast<size_t>(slot) * static_cast<size_t>(head_dim) + static_cast<size_t>(d);
  }
};

template <typename S>
struct ValuesQ4 {
  static constexpr Cache kNear = Cache::kFirst;
  const std::byte* page;
  int head_dim;
  const std::byte* scales;

  void Load(int slot, int d, typename S::F& v0, typename S::F& v1) const {
    const std::byte* p = page + ByteOf(slot, d, head_dim);
    const auto scale = GroupScale<S>(scales, slot, d, head_dim);
    S::FromNibbles(p, d % kKvGroup, v0, v1);
    v0 = S::Mul(v0, scale);
    v1 = S::Mul(v1, scale);
  }
  static size_t ByteOf(int slot, int d, int head_dim) {
    return (static_cast<size_t>(slot) * static_cast<size_t>(head_dim) + static_cast<size_t>(d / kKvGroup * kKvGroup)) /
           2;
  }
};

// acc_i += sum over the page's tokens of p_i * v for the N queries from first on and two vectors of dims.
template <typename S, typename Values>
struct PageSum {
  const AttentionTile& tile;
  const Values& values;
  int token;  // of the chunk, the page's first
  int n;      // tokens of the page
  int d;
  const std::byte* next;  // what is read after the page, or null

  template <int N>
  void Run(int first) const {
    float* out = tile.acc + static_cast<ptrdiff_t>(first) * tile.head_dim + d;
    const float* p = tile.score + static_cast<ptrdiff_t>(first) * kAttentionChunk + token;
    const std::byte* soon = next != nullptr && first == 0 ? next : values.page;
    typename S::F acc[N][2];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      acc[i][0] = token == 0 ? S::Zero() : S::Load(out + i * tile.head_dim);
      acc[i][1] = token == 0 ? S::Zero() : S::Load(out + i * tile.head_dim + S::kLanes);
    }
    for (int t = 0; t < n; ++t) {
      typename S::F v0, v1;
      values.Load(t, d, v0, v1);
      Prefetch<Values::kNear>(soon + Values::ByteOf(t, d, tile.head_dim));
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const auto each = S::Set1(p[i * kAttentionChunk + t]);
        acc[i][0] = S::Fma(each, v0, acc[i][0]);
        acc[i][1] = S::Fma(each, v1, acc[i][1]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      S::Store(out + i * tile.head_dim, acc[i][0]);
      S::Store(out + i * tile.head_dim + S::kLanes, acc[i][1]);
    }
  }
};

// The same for weights and values in bf16, a pair of tokens at a time.
template <typename S>
struct PairSum {
  const AttentionTile& tile;
  const std::byte* page;  // the head's values
  int token;
  int n;
  int d;
  const std::byte* next;

  template <int N>
  void Run(int first) const {
    float* out = tile.acc + static_cast<ptrdiff_t>(first) * tile.head_dim + d;
    const auto* p = reinterpret_cast<const int16_t*>(tile.score + static_cast<ptrdiff_t>(first) * kAttentionChunk);
    const size_t stride = static_cast<size_t>(tile.head_dim) * 4;
    const std::byte* at = page + static_cast<size_t>(d) * 4;
    const std::byte* soon = next != nullptr && first == 0 ? next + static_cast<size_t>(d) * 4 : at;
    typename S::F acc[N][2];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      acc[i][0] = token == 0 ? S::Zero() : S::Load(out + i * tile.head_dim);
      acc[i][1] = token == 0 ? S::Zero() : S::Load(out + i * tile.head_dim + S::kLanes);
    }
    const auto add = [&](int t, typename S::I v0, typename S::I v1) {
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const auto each = S::SetPair(p + i * 2 * kAttentionChunk + token + t);
        acc[i][0] = S::DotBf16(acc[i][0], v0, each);
        acc[i][1] = S::DotBf16(acc[i][1], v1, each);
      }
    };
    int t = 0;
    for (; t + 1 < n; t += 2, at += stride, soon += stride) {
      Prefetch<Cache::kSecond>(soon);
      Prefetch<Cache::kSecond>(soon + S::kLanes * 4);
      add(t, S::LoadI(at), S::LoadI(at + S::kLanes * 4));
    }
    // What lies beside the last token may never have been written.
    if (t < n) add(t, S::FirstOfPairs(S::LoadI(at)), S::FirstOfPairs(S::LoadI(at + S::kLanes * 4)));
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      S::Store(out + i * tile.head_dim, acc[i][0]);
      S::Store(out + i * tile.head_dim + S::kLanes, acc[i][1]);
    }
  }
};

// The same for weights and values as integers: exact sums of a run, then its scale.
template <typename S>
struct FixedSum {
  const AttentionTile& tile;
  const std::byte* page;
  int token;
  int n;
  int d;
  const std::byte* next;

  template <int N>
  void Run(int first) const {
    float* out = tile.acc + static_cast<ptrdiff_t>(first) * tile.head_dim + d;
    const auto* p = reinterpret_cast<const int16_t*>(tile.score + static_cast<ptrdiff_t>(first) * kAttentionChunk);
    const size_t stride = static_cast<size_t>(tile.head_dim) * 4;
    const std::byte* at = page + static_cast<size_t>(d) * 4;
    const std::byte* soon = next != nullptr && first == 0 ? next + static_cast<size_t>(d) * 4 : at;
    // The last run is a whole one too: its weights are zero where no token is, whatever lies there.
    for (int t = token; t < token + n; t += kWeightRun) {
      typename S::I acc[N][2];
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) acc[i][0] = acc[i][1] = S::ZeroI();
      for (int pair = 0; pair < kWeightRun; pair += 2, at += stride, soon += stride) {
        const auto v0 = S::LoadI(at);
        const auto v1 = S::LoadI(at + S::kLanes * 4);
        Prefetch<Cache::kSecond>(soon);
        Prefetch<Cache::kSecond>(soon + S::kLanes * 4);
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i) {
          const auto each = S::SetPair(p + i * 2 * kAttentionChunk + t + pair);
          acc[i][0] = S::Dot(acc[i][0], v0, each);
          acc[i][1] = S::Dot(acc[i][1], v1, each);
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const auto scale = S::Set1(RunScales(tile, first + i)[t / kWeightRun]);
        float* to = out + i * tile.head_dim;
        const auto b0 = t == 0 ? S::Zero() : S::Load(to);
        const auto b1 = t == 0 ? S::Zero() : S::Load(to + S::kLanes);
        S::Store(to, S::Fma(S::ToFloat(acc[i][0]), scale, b0));
        S::Store(to + S::kLanes, S::Fma(S::ToFloat(acc[i][1]), scale, b1));
      }
    }
  }
};

// Of the chunk's pages in order, and of two vectors of dims: Part{tile, page, first token, tokens, dim, next page}.
template <typename S, typename Part, typename Page, typename Make>
void ForPages(const AttentionTile& tile, const Make& make) {
  for (int t = 0; t < tile.n_tokens; t += tile.page_tokens) {
    const Page page = make(PageOf(tile, tile.v_pages, t) + tile.v_offset);
    const int left = tile.n_tokens - t;
    const std::byte* next =
        left > tile.page_tokens ? PageOf(tile, tile.v_pages, t + tile.page_tokens) + tile.v_offset : tile.next_k;
    for (int d = 0; d < tile.head_dim; d += 2 * S::kLanes) {
      ForBlocks<S::kQueries>(tile.n_q, Part{tile, page, t, left < tile.page_tokens ? left : tile.page_tokens, d, next});
    }
  }
}

// make(page): the Values of a page.
template <typename S, typename Values, typename Make>
void SumValues(const AttentionTile& tile, const Make& make) {
  ForPages<S, PageSum<S, Values>, Values>(tile, make);
}

// Part: PairSum or FixedSum.
template <typename S, typename Part>
void SumPairs(const AttentionTile& tile) {
  ForPages<S, Part, const std::byte*>(tile, [](const std::byte* page) { return page; });
}

template <typename S, typename Kv>
void SumFloatValues(const AttentionTile& tile) {
  using Values = ValuesFloat<S, Kv>;
  SumValues<S, Values>(tile, [&](const std::byte* page) { return Values{page, tile.head_dim}; });
}

template <typename S, typename Values>
void SumQuantValues(const AttentionTile& tile) {
  const size_t n_bytes = Values::ByteOf(tile.page_tokens, 0, tile.head_dim);
  SumValues<S, Values>(tile, [&](const std::byte* page) { return Values{page, tile.head_dim, page + n_bytes}; });
}

// ---- All of it ----

template <typename S>
void RunAttention(const AttentionTile& tile) {
  switch (tile.k_type) {
    case KvType::kF32:
      AllFloatScores<S, KvF32<S>>(tile);
      break;
    case KvType::kF16:
      AllFloatScores<S, KvF16<S>>(tile);
      break;
    case KvType::kBF16:
      AllScores<S, PairScores<S, Bf16Pairs<S>>, 4>(tile);
      break;
    case KvType::kI16:
      AllScores<S, PairScores<S, FixedPairs<S>>, 4>(tile);
      break;
    case KvType::kQ8:
      AllIntegerScores<S, KeysQ8<S>>(tile);
      break;
    case KvType::kQ4:
      AllIntegerScores<S, KeysQ4<S>>(tile);
      break;
  }
  for (int query = 0; query < tile.n_q; ++query) {
    if (tile.v_type == KvType::kBF16) {
      Exponentiate<S, true>(tile, query);
    } else if (tile.v_type == KvType::kI16) {
      ExponentiateToIntegers<S>(tile, query);
    } else {
      Exponentiate<S, false>(tile, query);
    }
  }
  switch (tile.v_type) {
    case KvType::kF32:
      SumFloatValues<S, KvF32<S>>(tile);
      break;
    case KvType::kF16:
      SumFloatValues<S, KvF16<S>>(tile);
      break;
    case KvType::kBF16:
      SumPairs<S, PairSum<S>>(tile);
      break;
    case KvType::kI16:
      SumPairs<S, FixedSum<S>>(tile);
      break;
    case KvType::kQ8:
      SumQuantValues<S, ValuesQ8<S>>(tile);
      break;
    case KvType::kQ4:
      SumQuantValues<S, ValuesQ4<S>>(tile);
      break;
  }
}

}  // namespace
}  // namespace quern::kernels
