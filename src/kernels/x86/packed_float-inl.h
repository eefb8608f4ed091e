// Packed f32, f16 and bf16 weights times f32 activations, several columns (tokens) at a time; lanes are rows.
#pragma once

#include "kernels/packed_block.h"
#include "kernels/tile.h"
#include "kernels/x86/packed_tile-inl.h"

namespace quern::kernels {
namespace {

// Formats. Load: the weights of kTogether neighbouring columns, the last of which may be filling. A sum runs over
// kSumColumns before Join adds it to the total: short chains keep rounding small.
template <typename Lanes>
struct SumAsItIs {
  static constexpr int64_t kSumColumns = 256;
  static int64_t HeaderBytes(int64_t /*cols*/) { return 0; }
  static typename Lanes::F Join(typename Lanes::F sum, const std::byte* /*group*/, int64_t /*c*/,
                                typename Lanes::F total) {
    return Lanes::Add(total, sum);
  }
};

template <typename Lanes>
struct FormatF32 : SumAsItIs<Lanes> {
  using V = Lanes;
  static constexpr int kTogether = 1;
  static constexpr size_t kColumnBytes = 64;
  static void Load(const std::byte* line, int part, typename V::F* w) {
    w[0] = V::LoadFloats(line + 4 * V::kLanes * part);
  }
};

template <typename Lanes>
struct FormatF16 : SumAsItIs<Lanes> {
  using V = Lanes;
  static constexpr int kTogether = 1;
  static constexpr size_t kColumnBytes = 32;
  static void Load(const std::byte* line, int part, typename V::F* w) {
    w[0] = V::LoadHalves(line + 2 * V::kLanes * part);
  }
};

template <typename Lanes>
struct FormatBF16 : SumAsItIs<Lanes> {
  using V = Lanes;
  static constexpr int kTogether = 2;
  static constexpr size_t kColumnBytes = 32;
  static void Load(const std::byte* line, int part, typename V::F* w) {
    const auto both = V::Load(line + 4 * V::kLanes * part);
    w[0] = V::AsFloats(V::template Left32<16>(both));
    w[1] = V::AsFloats(V::HighHalves(both));
  }
};

template <typename Lanes>
struct FormatF8E4M3 {
  using V = Lanes;
  static constexpr int kTogether = 1;
  static constexpr size_t kColumnBytes = 16;
  static constexpr int64_t kSumColumns = kF8Block;
  static constexpr float kExponentShift = 256.0F;  // see LoadF8
  static int64_t HeaderBytes(int64_t cols) { return PackedF8HeaderBytes(cols); }
  static void Load(const std::byte* line, int part, typename V::F* w) { w[0] = V::LoadF8(line + V::kLanes * part); }
  static typename V::F Join(typename V::F sum, const std::byte* group, int64_t c, typename V::F total) {
    const float scale = reinterpret_cast<const float*>(group)[c / kF8Block] * kExponentShift;
    return V::MulAdd(sum, V::SetF(scale), total);
  }
};

template <typename Format>
struct FloatKernel {
  using V = typename Format::V;
  static constexpr int kMaxColumns = 8;

  template <int N>
  static void Columns(const std::byte* group, int part, int64_t cols, const void* const* x, typename V::F* out) {
    using F = typename V::F;
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) out[i] = V::ZeroF();
    const std::byte* lines = group + Format::HeaderBytes(cols);
    for (int64_t begin = 0; begin < cols; begin += Format::kSumColumns) {
      const int64_t end = begin + Format::kSumColumns < cols ? begin + Format::kSumColumns : cols;
      F sum[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) sum[i] = V::ZeroF();
      int64_t c = begin;
      for (; c + Format::kTogether <= end; c += Format::kTogether) {
        const std::byte* line = lines + static_cast<size_t>(c) * Format::kColumnBytes;
        if (part == 0) Prefetch<N, Format::kColumnBytes * Format::kTogether>(line);
        F w[Format::kTogether];
        Format::Load(line, part, w);
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) {
          const auto* xi = static_cast<const float*>(x[i]) + c;
#pragma GCC unroll 2
          for (int k = 0; k < Format::kTogether; ++k) sum[i] = V::MulAdd(w[k], V::SetF(xi[k]), sum[i]);
        }
      }
      if (c < end) {
        F w[Format::kTogether];
        Format::Load(lines + static_cast<size_t>(c) * Format::kColumnBytes, part, w);
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) sum[i] = V::MulAdd(w[0], V::SetF(static_cast<const float*>(x[i])[c]), sum[i]);
      }
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) out[i] = Format::Join(sum[i], group, begin, out[i]);
    }
  }
};

}  // namespace
}  // namespace quern::kernels
