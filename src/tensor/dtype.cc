#include "tensor/dtype.h"

#include <bit>
#include <cmath>

#include "base/check.h"

namespace quern {
namespace {

constexpr DTypeInfo kInfo[] = {
    {"f32", 1, 4},        {"f16", 1, 2},      {"bf16", 1, 2},     {"f8_e4m3", 1, 1},  {"q8_0", 32, 34},
    {"q4_0", 32, 18},     {"q4_1", 32, 20},   {"q5_0", 32, 22},   {"q5_1", 32, 24},   {"q2_k", 256, 84},
    {"q3_k", 256, 110},   {"q4_k", 256, 144}, {"q5_k", 256, 176}, {"q6_k", 256, 210}, {"iq4_nl", 32, 18},
    {"iq4_xs", 256, 136}, {"mxfp4", 32, 17},  {"i8", 1, 1},       {"i16", 1, 2},      {"i32", 1, 4},
    {"i64", 1, 8},        {"f64", 1, 8},      {"u8", 1, 1},       {"bool", 1, 1},
};

}  // namespace

const DTypeInfo& Info(DType type) { return kInfo[static_cast<size_t>(type)]; }

size_t RowBytes(DType type, int64_t n_elements) {
  const DTypeInfo& info = Info(type);
  QUERN_DCHECK(n_elements >= 0 && n_elements % info.block_elements == 0);
  return static_cast<size_t>(n_elements / info.block_elements) * static_cast<size_t>(info.block_bytes);
}

float Bf16ToF32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t F32ToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);  // quiet NaN
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

float F16ToF32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000U) << 16;
  const uint32_t exponent = (h >> 10) & 0x1FU;
  const uint32_t mantissa = h & 0x3FFU;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (mantissa << 13));
}

uint16_t F32ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // rounds to infinity
  if (magnitude < 0x38800000U) {                                               // subnormal half: units of 2^-24
    const float scaled = std::ldexp(std::bit_cast<float>(magnitude), 24);
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(scaled)));
  }
  const uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

float F8E4M3ToF32(uint8_t bits) {
  // Shifted into place it is a half whose exponent is 8 too low, subnormals included.
  const float magnitude = F16ToF32(static_cast<uint16_t>((bits & 0x7FU) << 7)) * 256.0F;
  return (bits & 0x80U) != 0 ? -magnitude : magnitude;
}

}  // namespace quern
