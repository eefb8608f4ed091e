// Pieces of the block formats that are converted at load, shared by dequantization and by conversion.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace quern::kernels {

inline constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Twice the E2M1 values, so that they are integers; Mxfp4Scale is halved for it.
inline constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(e - 128). e < 2 gives subnormals: 2^-128, 2^-127.
inline float Mxfp4Scale(uint8_t e) {
  const uint32_t bits = e < 2 ? 0x00200000U << e : static_cast<uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

// iq4_xs, p at the block: scale of sub-block b (0..7), -32..31.
inline int Iq4XsScale(const std::byte* p, int b) {
  uint16_t high;
  std::memcpy(&high, p + 2, sizeof(high));
  const int low = (static_cast<int>(p[4 + b / 2]) >> (4 * (b % 2))) & 15;
  return (low | (((high >> (2 * b)) & 3) << 4)) - 32;
}

// q3_k, p at the block: scale of the 16 elements from 16 * k on, -32..31.
inline int Q3KScale(const std::byte* p, int k) {
  const auto* s = reinterpret_cast<const uint8_t*>(p + 96);
  const int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
  return (low | (((s[8 + k % 4] >> (2 * (k / 4))) & 3) << 4)) - 32;
}

// q3_k, p at the block: quant of element e (0..255), -4..3.
inline int Q3KQuant(const std::byte* p, int e) {
  const auto* hmask = reinterpret_cast<const uint8_t*>(p);
  const auto* qs = reinterpret_cast<const uint8_t*>(p + 32);
  const int half = e / 128;
  const int j = (e % 128) / 32;
  const int l = e % 32;
  const int high = (hmask[l] >> (4 * half + j)) & 1;
  return ((qs[32 * half + l] >> (2 * j)) & 3) - (high != 0 ? 0 : 4);
}

}  // namespace quern::kernels
