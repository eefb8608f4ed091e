// Integer dot products of packed quantised weights with several columns (tokens) at a time. Weights are unpacked once
// for all columns; lanes are rows, so a sum needs no end. Lanes is Lanes256 or Lanes512. See packed_tile-inl.h for why
// everything is anonymous.
#pragma once

#include "kernels/packed_block.h"
#include "kernels/tile.h"
#include "kernels/x86/packed_tile-inl.h"

namespace quern::kernels {
namespace {

// ---- Quads of 4 columns out of lines ----

// The part of a 64-byte line that one register holds.
template <typename V>
typename V::I Line(const uint8_t* line, int part) {
  return V::Load(line + part * V::kLanes * 4);
}

template <typename V, int kLines>
void Nibbles(const uint8_t (*lines)[64], int part, typename V::I* w) {
  const auto nibble = V::Set8(15);
#pragma GCC unroll 4
  for (int v = 0; v < kLines; ++v) {
    const auto both = Line<V>(lines[v], part);
    w[2 * v] = V::And(both, nibble);
    w[2 * v + 1] = V::And(V::template Right16<4>(both), nibble);
  }
}

// Bits [first, first + n) of every byte, moved to bit 4; n and the mask go together.
template <typename V, int kFirst>
typename V::I BitsToFour(typename V::I bits, typename V::I mask) {
  if constexpr (kFirst < 4) {
    bits = V::template Left16<4 - kFirst>(bits);
  } else if constexpr (kFirst > 4) {
    bits = V::template Right16<kFirst - 4>(bits);
  }
  return V::And(bits, mask);
}

template <typename Lanes>
struct FormatQ4K {
  using V = Lanes;
  using Packed = PackedQ4K;
  static constexpr int kSafe = 8;  // 8 * 2 * 15 * 127 < 2^15
  [[gnu::always_inline]] static void Unpack(const Packed& p, int s, int part, typename V::I* w) {
    Nibbles<V, 4>(p.q[s], part, w);
  }
};

template <typename Lanes>
struct FormatQ5K {
  using V = Lanes;
  using Packed = PackedQ5K;
  static constexpr int kSafe = 4;  // 4 * 2 * 31 * 127 < 2^15
  [[gnu::always_inline]] static void Unpack(const Packed& p, int s, int part, typename V::I* w) {
    Nibbles<V, 4>(p.sub[s].q, part, w);
    const auto bits = Line<V>(p.sub[s].high, part);
    const auto mask = V::Set8(16);
    w[0] = V::Or(w[0], BitsToFour<V, 0>(bits, mask));
    w[1] = V::Or(w[1], BitsToFour<V, 1>(bits, mask));
    w[2] = V::Or(w[2], BitsToFour<V, 2>(bits, mask));
    w[3] = V::Or(w[3], BitsToFour<V, 3>(bits, mask));
    w[4] = V::Or(w[4], BitsToFour<V, 4>(bits, mask));
    w[5] = V::Or(w[5], BitsToFour<V, 5>(bits, mask));
    w[6] = V::Or(w[6], BitsToFour<V, 6>(bits, mask));
    w[7] = V::Or(w[7], BitsToFour<V, 7>(bits, mask));
  }
};

template <typename V>
[[gnu::always_inline]] inline void UnpackQ6K(const PackedQ6K& p, int s, int part, typename V::I* w) {
  Nibbles<V, 2>(p.sub[s].q, part, w);
  const auto bits = Line<V>(p.sub[s].high, part);
  const auto mask = V::Set8(0x30);
  w[0] = V::Or(w[0], BitsToFour<V, 0>(bits, mask));
  w[1] = V::Or(w[1], BitsToFour<V, 2>(bits, mask));
  w[2] = V::Or(w[2], BitsToFour<V, 4>(bits, mask));
  w[3] = V::Or(w[3], BitsToFour<V, 6>(bits, mask));
}

// ---- q4_k, q5_k: unsigned quants, a scale and a min per 32 columns ----

// The four planes of 6-bit numbers, one byte each: [scale or min][pair of sub-blocks][row][which of the pair].
template <typename V>
void UnpackScales(const uint8_t (*planes)[64], uint8_t* out) {
  const auto six = V::Set8(63);
  const auto two = V::Set8(3);
#pragma GCC unroll 2
  for (int at = 0; at < 64; at += 4 * V::kLanes) {
    const auto a = V::Load(planes[0] + at);
    const auto b = V::Load(planes[1] + at);
    const auto c = V::Load(planes[2] + at);
    V::Store(out + at, V::And(a, six));
    V::Store(out + 64 + at, V::And(b, six));
    V::Store(out + 128 + at, V::And(c, six));
    const auto low = V::And(V::template Right16<6>(a), two);
    const auto mid = V::template Left16<2>(V::And(V::template Right16<6>(b), two));
    const auto high = V::template Left16<4>(V::And(V::template Right16<6>(c), two));
    V::Store(out + 192 + at, V::Or(low, V::Or(mid, high)));
  }
}

template <typename Format>
struct ScaleMinKernel {
  using V = typename Format::V;
  using Packed = typename Format::Packed;
  static constexpr int kMaxColumns = V::kMaxColumns;

  template <int N>
  static void Columns(const std::byte* group, int part, int64_t cols, const void* const* x, typename V::F* out) {
    using I = typename V::I;
    using F = typename V::F;
    F acc[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) acc[i] = V::ZeroF();
    const auto* p = reinterpret_cast<const Packed*>(group);
    for (int64_t b = 0; b < cols / 256; ++b, ++p) {
      alignas(64) uint8_t numbers[256];
      UnpackScales<V>(p->scales, numbers);
      const uint8_t* pairs = numbers + 2 * V::kLanes * part;
      alignas(64) I scale[8];
      I mins[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const I two = V::LoadBytesU(pairs + 32 * j);
        scale[2 * j] = V::FirstScale(two);
        scale[2 * j + 1] = V::SecondScale(two);
        mins[j] = V::LoadBytesU(pairs + 128 + 32 * j);
      }
      I min_sum[N];
      const GroupX8K* g[N];
      const int8_t* q[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        g[i] = static_cast<const GroupX8K*>(x[i]) + b;
        q[i] = g[i]->q;
        min_sum[i] = V::Zero();
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          min_sum[i] = V::MulAdd16(min_sum[i], mins[j], V::Broadcast32(g[i]->sum32 + 2 * j));
        }
      }
      const F dmin = V::LoadHalves(p->dmin + V::kLanes * part);
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        acc[i] = V::NegMulAdd(V::ToFloats(min_sum[i]), V::Mul(dmin, V::SetF(g[i]->d)), acc[i]);
      }
      I sum[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) sum[i] = V::Zero();
#pragma GCC unroll 1
      for (int s = 0; s < 8; ++s) {
        if (part == 0) Prefetch<N, sizeof(Packed) / 8>(reinterpret_cast<const char*>(p) + sizeof(Packed) / 8 * s);
        I w[8];
        Format::Unpack(*p, s, part, w);
        V::template DotScaled<N, 8, Format::kSafe>(w, q, 32 * s, scale[s], sum);
      }
      const F d = V::LoadHalves(p->d + V::kLanes * part);
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        acc[i] = V::MulAdd(V::ToFloats(sum[i]), V::Mul(d, V::SetF(g[i]->d)), acc[i]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) out[i] = acc[i];
  }
};

// ---- q6_k: quants 0..63 less 32, a signed scale per 16 columns ----

template <typename Lanes>
struct Q6KKernel {
  using V = Lanes;
  static constexpr int kMaxColumns = V::kMaxColumns;

  template <int N>
  static void Columns(const std::byte* group, int part, int64_t cols, const void* const* x, typename V::F* out) {
    using I = typename V::I;
    using F = typename V::F;
    F acc[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) acc[i] = V::ZeroF();
    const auto* p = reinterpret_cast<const PackedQ6K*>(group);
    for (int64_t b = 0; b < cols / 256; ++b, ++p) {
      const GroupX8K* g[N];
      const int8_t* q[N];
      I sum[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        g[i] = static_cast<const GroupX8K*>(x[i]) + b;
        q[i] = g[i]->q;
        sum[i] = V::Zero();
      }
      alignas(64) I scale[16];
#pragma GCC unroll 1
      for (int j = 0; j < 8; ++j) {
        const I two = V::LoadBytesS(&p->scales[j][V::kLanes * part][0]);
        scale[2 * j] = V::FirstScale(two);
        scale[2 * j + 1] = V::SecondScale(two);
        if constexpr (!V::kStartsDots) {
#pragma GCC unroll 16
          for (int i = 0; i < N; ++i) sum[i] = V::MulAdd16(sum[i], two, V::Broadcast32(g[i]->sum16 + 2 * j));
        }
      }
      if constexpr (!V::kStartsDots) {
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) sum[i] = V::Sub32(V::Zero(), V::template Left32<5>(sum[i]));
      }
#pragma GCC unroll 1
      for (int s = 0; s < 16; ++s) {
        if (part == 0)
          Prefetch<N, sizeof(PackedQ6K) / 16>(reinterpret_cast<const char*>(p) + sizeof(PackedQ6K) / 16 * s);
        I w[4];
        UnpackQ6K<V>(*p, s, part, w);
        if constexpr (V::kStartsDots) {
          V::template DotScaledFrom<N, 4>(
              w, q, 16 * s, [&](int i) { return V::Broadcast32(g[i]->start + s); }, scale[s], sum);
        } else {
          V::template DotScaled<N, 4, 2>(w, q, 16 * s, scale[s], sum);  // 2 * 2 * 63 * 127 < 2^15
        }
      }
      const F d = V::LoadHalves(p->d + V::kLanes * part);
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        acc[i] = V::MulAdd(V::ToFloats(sum[i]), V::Mul(d, V::SetF(g[i]->d)), acc[i]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) out[i] = acc[i];
  }
};

// ---- q8_0, q4_0: one scale per 32 columns on both sides ----

template <typename Lanes>
struct FormatQ8_0 {
  using V = Lanes;
  using Packed = PackedQ8_0;
  [[gnu::always_inline]] static void Unpack(const Packed& p, int half, int part, typename V::I* w) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) w[k] = Line<V>(p.q[half][k], part);
  }
  template <int N, typename Finish>
  [[gnu::always_inline]] static void Dots(const typename V::I* w, const int8_t* const* x, const GroupX8* const* g,
                                          int s, Finish finish) {
    V::template DotBytes<N>(
        w, x, 32 * s, [&](int i) { return V::Broadcast32(g[i]->start + s); }, finish);
  }
};

template <typename Lanes>
struct FormatQ4_0 {
  using V = Lanes;
  using Packed = PackedQ4_0;
  [[gnu::always_inline]] static void Unpack(const Packed& p, int half, int part, typename V::I* w) {
    Nibbles<V, 4>(p.q[half], part, w);
  }
  template <int N, typename Finish>
  [[gnu::always_inline]] static void Dots(const typename V::I* w, const int8_t* const* x, const GroupX8* const* g,
                                          int s, Finish finish) {
    // It begins at -8 * sum(x); 8 * 2 * 15 * 127 < 2^15.
    const auto start = [&](int i) { return V::template RightSigned32<4>(V::Broadcast32(g[i]->start + s)); };
    V::template DotOnce<N, 8>(w, x, 32 * s, start, finish);
  }
};

template <typename Format>
struct ScaleKernel {
  using V = typename Format::V;
  using Packed = typename Format::Packed;
  static constexpr int kMaxColumns = V::kMaxColumns;

  template <int N>
  static void Columns(const std::byte* group, int part, int64_t cols, const void* const* x, typename V::F* out) {
    using I = typename V::I;
    using F = typename V::F;
    F acc[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) acc[i] = V::ZeroF();
    const auto* blocks = reinterpret_cast<const Packed*>(group);
    const int64_t n_blocks = cols / 32;
    for (int64_t begin = 0; begin < n_blocks; begin += 8) {
      const GroupX8* g[N];
      const int8_t* q[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        g[i] = static_cast<const GroupX8*>(x[i]) + begin / 8;
        q[i] = g[i]->q;
      }
      const int n_here = n_blocks - begin < 8 ? static_cast<int>(n_blocks - begin) : 8;
#pragma GCC unroll 1
      for (int s = 0; s < n_here; ++s) {
        const Packed& p = blocks[(begin + s) / 2];
        const int half = s % 2;
        if (part == 0)
          Prefetch<N, sizeof(Packed) / 2>(reinterpret_cast<const char*>(&p) +
                                          sizeof(Packed) / 2 * static_cast<size_t>(half));
        I w[8];
        Format::Unpack(p, half, part, w);
        const F d = V::LoadHalves(p.d[half] + V::kLanes * part);
        Format::template Dots<N>(w, q, g, s, [&](int i, I dot) {
          acc[i] = V::MulAdd(V::ToFloats(dot), V::Mul(d, V::SetF(g[i]->d[s])), acc[i]);
        });
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) out[i] = acc[i];
  }
};

}  // namespace
}  // namespace quern::kernels
