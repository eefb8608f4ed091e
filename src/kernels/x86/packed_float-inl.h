// Packed f32, f16 and bf16 weights times f32 activations, several columns (tokens) at a time; lanes are rows.
#pragma once

#include "kernels/packed_block.h"
#include "kernels/tile.h"
#include "kernels/x86/packed_tile-inl.h"

namespace quern::kernels {
namespace {

// A sum runs over this many columns before it is added to the total: short chains keep rounding small.
constexpr int64_t kSumColumns = 256;

// Formats: Load(group, part, c, w) gives the weights of columns c .. c + kTogether - 1; the last may be filling.
template <typename Lanes>
struct FormatF32 {
  using V = Lanes;
  static constexpr int kTogether = 1;
  static constexpr size_t kColumnBytes = 64;
  static void Load(const std::byte* line, int part, typename V::F* w) {
    w[0] = V::LoadFloats(line + 4 * V::kLanes * part);
  }
};

template <typename Lanes>
struct FormatF16 {
  using V = Lanes;
  static constexpr int kTogether = 1;
  static constexpr size_t kColumnBytes = 32;
  static void Load(const std::byte* line, int part, typename V::F* w) {
    w[0] = V::LoadHalves(line + 2 * V::kLanes * part);
  }
};

template <typename Lanes>
struct FormatBF16 {
  using V = Lanes;
  static constexpr int kTogether = 2;
  static constexpr size_t kColumnBytes = 32;
  static void Load(const std::byte* line, int part, typename V::F* w) {
    const auto both = V::Load(line + 4 * V::kLanes * part);
    w[0] = V::AsFloats(V::template Left32<16>(both));
    w[1] = V::AsFloats(V::HighHalves(both));
  }
};

template <typename Format>
struct FloatKernel {
  using V = typename Format::V;
  static constexpr int kMaxColumns = V::kMaxColumns > 8 ? 12 : 8;

  template <int N>
  static void Columns(const std::byte* group, int part, int64_t cols, const void* const* x, typename V::F* out) {
    using F = typename V::F;
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) out[i] = V::ZeroF();
    for (int64_t begin = 0; begin < cols; begin += kSumColumns) {
      const int64_t end = begin + kSumColumns < cols ? begin + kSumColumns : cols;
      F sum[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) sum[i] = V::ZeroF();
      int64_t c = begin;
      for (; c + Format::kTogether <= end; c += Format::kTogether) {
        const std::byte* line = group + static_cast<size_t>(c) * Format::kColumnBytes;
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
        Format::Load(group + static_cast<size_t>(c) * Format::kColumnBytes, part, w);
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) sum[i] = V::MulAdd(w[0], V::SetF(static_cast<const float*>(x[i])[c]), sum[i]);
      }
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) out[i] = V::Add(out[i], sum[i]);
    }
  }
};

}  // namespace
}  // namespace quern::kernels
