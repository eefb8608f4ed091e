#include "kernels/dequantize.h"

#include <cstring>

#include "base/check.h"
#include "kernels/packed_block.h"
#include "kernels/ref/blocks_ref.h"
#include "kernels/tile.h"
#include "kernels/unpack.h"

namespace quern::kernels {
namespace {

using ref::ScaleMin;
using ref::UnpackQuants;

uint16_t Load16(const std::byte* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

float LoadHalf(const std::byte* p) { return F16ToF32(Load16(p)); }

const uint8_t* Bytes(const std::byte* p) { return reinterpret_cast<const uint8_t*>(p); }

// Blocks of 32 with nibbles: element j in the low half of byte j, element j + 16 in the high half.
template <typename Value>
void Nibbles(const uint8_t* qs, float* out, Value value) {
  for (int j = 0; j < 16; ++j) {
    out[j] = value(j, qs[j] & 15);
    out[j + 16] = value(j + 16, qs[j] >> 4);
  }
}

void DequantizeQ8_0(const std::byte* p, float* out) {
  const float d = LoadHalf(p);
  const auto* q = reinterpret_cast<const int8_t*>(p + 2);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(q[j]);
}

void DequantizeQ4_0(const std::byte* p, float* out) {
  const float d = LoadHalf(p);
  Nibbles(Bytes(p + 2), out, [&](int, int q) { return d * static_cast<float>(q - 8); });
}

void DequantizeQ4_1(const std::byte* p, float* out) {
  const float d = LoadHalf(p);
  const float m = LoadHalf(p + 2);
  Nibbles(Bytes(p + 4), out, [&](int, int q) { return d * static_cast<float>(q) + m; });
}

int FifthBit(const std::byte* qh, int j) { return (Bytes(qh)[j / 8] >> (j % 8)) & 1; }

void DequantizeQ5_0(const std::byte* p, float* out) {
  const float d = LoadHalf(p);
  Nibbles(Bytes(p + 6), out,
          [&](int j, int q) { return d * static_cast<float>((q | (FifthBit(p + 2, j) << 4)) - 16); });
}

void DequantizeQ5_1(const std::byte* p, float* out) {
  const float d = LoadHalf(p);
  const float m = LoadHalf(p + 2);
  Nibbles(Bytes(p + 8), out, [&](int j, int q) { return d * static_cast<float>(q | (FifthBit(p + 4, j) << 4)) + m; });
}

void DequantizeIQ4NL(const std::byte* p, float* out) {
  const float d = LoadHalf(p);
  Nibbles(Bytes(p + 2), out, [&](int, int q) { return d * static_cast<float>(kIQ4Values[q]); });
}

void DequantizeMXFP4(const std::byte* p, float* out) {
  const float d = Mxfp4Scale(Bytes(p)[0]);
  Nibbles(Bytes(p + 1), out, [&](int, int q) { return d * static_cast<float>(kMxfp4Values[q]); });
}

void DequantizeIQ4XS(const std::byte* p, float* out) {
  const float d = LoadHalf(p);
  for (int b = 0; b < 8; ++b) {
    const float scale = d * static_cast<float>(Iq4XsScale(p, b));
    Nibbles(Bytes(p + 8 + 16 * b), out + 32 * b, [&](int, int q) { return scale * static_cast<float>(kIQ4Values[q]); });
  }
}

void DequantizeQ2K(const std::byte* p, float* out) {
  const uint8_t* scales = Bytes(p);
  const uint8_t* qs = Bytes(p + 16);
  const float d = LoadHalf(p + 80);
  const float dmin = LoadHalf(p + 82);
  for (int e = 0; e < 256; ++e) {
    const int half = e / 128;
    const int shift = 2 * ((e % 128) / 32);
    const int q = (qs[32 * half + e % 32] >> shift) & 3;
    const int s = scales[e / 16];
    out[e] = d * static_cast<float>(s & 15) * static_cast<float>(q) - dmin * static_cast<float>(s >> 4);
  }
}

void DequantizeQ3K(const std::byte* p, float* out) {
  const float d = LoadHalf(p + 108);
  for (int e = 0; e < 256; ++e) {
    out[e] = d * static_cast<float>(Q3KScale(p, e / 16)) * static_cast<float>(Q3KQuant(p, e));
  }
}

template <typename Block>
Block LoadBlock(const std::byte* p) {
  Block block;
  std::memcpy(&block, p, sizeof(block));
  return block;
}

template <typename Block>
void DequantizeScaleMin(const std::byte* p, float* out) {
  const Block block = LoadBlock<Block>(p);
  const float d = F16ToF32(block.d);
  const float dmin = F16ToF32(block.dmin);
  int8_t q[256];
  UnpackQuants(block, q);
  for (int j = 0; j < 8; ++j) {
    int scale;
    int min;
    ScaleMin(block.scales, j, &scale, &min);
    const float a = d * static_cast<float>(scale);
    const float b = dmin * static_cast<float>(min);
    for (int l = 32 * j; l < 32 * j + 32; ++l) out[l] = a * static_cast<float>(q[l]) - b;
  }
}

void DequantizeQ6K(const std::byte* p, float* out) {
  const auto block = LoadBlock<BlockQ6K>(p);
  const float d = F16ToF32(block.d);
  int8_t q[256];
  UnpackQuants(block, q);
  for (int e = 0; e < 256; ++e) out[e] = d * static_cast<float>(block.scales[e / 16]) * static_cast<float>(q[e]);
}

void DequantizeF32(const std::byte* p, float* out) { std::memcpy(out, p, sizeof(float)); }
void DequantizeF16(const std::byte* p, float* out) { *out = LoadHalf(p); }
void DequantizeBF16(const std::byte* p, float* out) { *out = Bf16ToF32(Load16(p)); }

using BlockFn = void (*)(const std::byte* block, float* out);

BlockFn BlockFnFor(DType type) {
  switch (type) {
    case DType::kF32:
      return DequantizeF32;
    case DType::kF16:
      return DequantizeF16;
    case DType::kBF16:
      return DequantizeBF16;
    case DType::kQ8_0:
      return DequantizeQ8_0;
    case DType::kQ4_0:
      return DequantizeQ4_0;
    case DType::kQ4_1:
      return DequantizeQ4_1;
    case DType::kQ5_0:
      return DequantizeQ5_0;
    case DType::kQ5_1:
      return DequantizeQ5_1;
    case DType::kQ2K:
      return DequantizeQ2K;
    case DType::kQ3K:
      return DequantizeQ3K;
    case DType::kQ4K:
      return DequantizeScaleMin<BlockQ4K>;
    case DType::kQ5K:
      return DequantizeScaleMin<BlockQ5K>;
    case DType::kQ6K:
      return DequantizeQ6K;
    case DType::kIQ4NL:
      return DequantizeIQ4NL;
    case DType::kIQ4XS:
      return DequantizeIQ4XS;
    case DType::kMXFP4:
      return DequantizeMXFP4;
    default:
      return nullptr;
  }
}

}  // namespace

bool CanDequantize(DType type) { return BlockFnFor(type) != nullptr; }

void DequantizeRow(DType type, const std::byte* row, int64_t n_elements, float* out) {
  const BlockFn fn = BlockFnFor(type);
  const DTypeInfo& info = Info(type);
  QUERN_CHECK(fn != nullptr && n_elements >= 0 && n_elements % info.block_elements == 0);
  for (int64_t e = 0; e < n_elements; e += info.block_elements) {
    fn(row, out + e);
    row += info.block_bytes;
  }
}

void DequantizeF8Row(const std::byte* row, const float* scales, int64_t n_elements, float* out) {
  for (int64_t c = 0; c < n_elements; ++c) {
    out[c] = F8E4M3ToF32(static_cast<uint8_t>(row[c])) * scales[c / kF8Block];
  }
}

}  // namespace quern::kernels
