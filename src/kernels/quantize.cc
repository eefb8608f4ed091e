#include "kernels/quantize.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/quantize_k.h"
#include "kernels/scale_search.h"
#include "kernels/tile.h"
#include "kernels/unpack.h"

namespace quern::kernels {
namespace {

constexpr float kLargestHalf = 65504;

void Store16(uint16_t v, std::byte* out) { std::memcpy(out, &v, sizeof(v)); }

void ToF32(const float* x, const float* /*w*/, std::byte* out) { std::memcpy(out, x, sizeof(float)); }
void ToF16(const float* x, const float* /*w*/, std::byte* out) { Store16(F32ToF16(*x), out); }
void ToBF16(const float* x, const float* /*w*/, std::byte* out) { Store16(F32ToBf16(*x), out); }

float LargestMagnitude(const float* x, int n) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = std::fabs(x[i]) > largest ? std::fabs(x[i]) : largest;
  return largest;
}

// With 255 steps a fit gains nothing that the f16 scale does not lose again: the largest element decides.
void ToQ8_0(const float* x, const float* /*w*/, std::byte* out) {
  BlockQ8_0 block;
  block.d = F32ToF16(LargestMagnitude(x, 32) / 127);
  const float inverse = InverseOf(F16ToF32(block.d));
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int8_t>(NearestIn(x[i] * inverse, -127, 127));
  std::memcpy(out, &block, sizeof(block));
}

// d and the 32 integers from lo to -lo - 1 that go with it, counted from lo.
uint16_t FitBlock(const float* x, const float* w, int lo, uint8_t* q) {
  const uint16_t d = F32ToF16(FitScale(x, w, 32, lo, -lo - 1));
  const float inverse = InverseOf(F16ToF32(d));
  for (int i = 0; i < 32; ++i) {
    const float nearest = NearestIn(x[i] * inverse, static_cast<float>(lo), static_cast<float>(-lo - 1));
    q[i] = static_cast<uint8_t>(static_cast<int>(nearest) - lo);
  }
  return d;
}

void ToQ4_0(const float* x, const float* w, std::byte* out) {
  BlockQ4_0 block;
  uint8_t q[32];
  block.d = FitBlock(x, w, -8, q);
  for (int i = 0; i < 16; ++i) block.qs[i] = static_cast<uint8_t>(q[i] | (q[i + 16] << 4));
  std::memcpy(out, &block, sizeof(block));
}

void ToQ5_0(const float* x, const float* w, std::byte* out) {
  uint8_t q[32];
  Store16(FitBlock(x, w, -16, q), out);
  uint32_t fifth_bits = 0;
  for (int i = 0; i < 32; ++i) fifth_bits |= static_cast<uint32_t>(q[i] >> 4) << i;
  std::memcpy(out + 2, &fifth_bits, sizeof(fifth_bits));
  for (int i = 0; i < 16; ++i) out[6 + i] = static_cast<std::byte>((q[i] & 15) | ((q[i + 16] & 15) << 4));
}

void ToIQ4NL(const float* x, const float* w, std::byte* out) {
  const uint16_t d = F32ToF16(FitTableScale(x, w, 32, kIQ4Values));
  const float inverse = InverseOf(F16ToF32(d));
  Store16(d, out);
  for (int i = 0; i < 16; ++i) {
    const int low = NearestIndex(x[i] * inverse, kIQ4Values);
    const int high = NearestIndex(x[i + 16] * inverse, kIQ4Values);
    out[2 + i] = static_cast<std::byte>(low | (high << 4));
  }
}

using BlockFn = void (*)(const float* x, const float* w, std::byte* out);

BlockFn BlockFnFor(DType type) {
  switch (type) {
    case DType::kF32:
      return ToF32;
    case DType::kF16:
      return ToF16;
    case DType::kBF16:
      return ToBF16;
    case DType::kQ8_0:
      return ToQ8_0;
    case DType::kQ4_0:
      return ToQ4_0;
    case DType::kQ5_0:
      return ToQ5_0;
    case DType::kIQ4NL:
      return ToIQ4NL;
    case DType::kQ2K:
      return QuantizeQ2K;
    case DType::kQ3K:
      return QuantizeQ3K;
    case DType::kQ4K:
      return QuantizeQ4K;
    case DType::kQ5K:
      return QuantizeQ5K;
    case DType::kQ6K:
      return QuantizeQ6K;
    default:
      return nullptr;
  }
}

}  // namespace

bool CanQuantize(DType type) { return BlockFnFor(type) != nullptr; }

float LargestQuantizable(DType type) {
  return type == DType::kF32 || type == DType::kBF16 ? std::numeric_limits<float>::max() / 2 : kLargestHalf;
}

void QuantizeRow(DType type, const float* x, int64_t n_elements, const float* importance, std::byte* out) {
  const BlockFn fn = BlockFnFor(type);
  const DTypeInfo& info = Info(type);
  QUERN_CHECK(fn != nullptr && n_elements >= 0 && n_elements % info.block_elements == 0);
  float equal[256];
  for (float& w : equal) w = 1;
  for (int64_t e = 0; e < n_elements; e += info.block_elements) {
    const float* w = importance == nullptr ? equal : importance + e;
    // Columns that were never active say nothing about which of them matters.
    if (LargestMagnitude(w, info.block_elements) == 0) w = equal;
    fn(x + e, w, out);
    out += info.block_bytes;
  }
}

}  // namespace quern::kernels
