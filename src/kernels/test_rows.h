// Data for kernel tests and benches: seeded values, weights of every type with sane scales, buffers at odd addresses.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "kernels/dispatch.h"
#include "tensor/dtype.h"

namespace quern::kernels {

inline std::vector<Isa> OfferedIsas() {
  std::vector<Isa> isas;
  for (const Isa isa : kIsas) {
    if (TableFor(isa) != nullptr) isas.push_back(isa);
  }
  return isas;
}

// Types that kernels compute with.
inline std::vector<DType> ComputeTypes() {
  return {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4K, DType::kQ5K, DType::kQ6K};
}

inline std::vector<float> NormalFloats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

// Offsets of the f16 fields of a block.
inline std::vector<int> HalfOffsets(DType type) {
  switch (type) {
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kIQ4NL:
    case DType::kIQ4XS:
      return {0};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4K:
    case DType::kQ5K:
      return {0, 2};
    case DType::kQ2K:
      return {80, 82};
    case DType::kQ3K:
      return {108};
    case DType::kQ6K:
      return {208};
    default:
      return {};
  }
}

// Rows of random weights: every bit pattern of quants and scales, f16 fields around 0.01.
inline std::vector<std::byte> RandomWeights(DType type, int64_t rows, int64_t cols, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 0.05F);
  std::uniform_real_distribution<float> scale(0.005F, 0.02F);
  std::vector<std::byte> bytes(static_cast<size_t>(rows) * RowBytes(type, cols));
  const DTypeInfo& info = Info(type);
  if (info.block_elements == 1) {
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(info.block_bytes)) {
      const float v = normal(random);
      const uint16_t half = type == DType::kF16 ? F32ToF16(v) : F32ToBf16(v);
      if (type == DType::kF32) {
        std::memcpy(&bytes[at], &v, sizeof(v));
      } else {
        std::memcpy(&bytes[at], &half, sizeof(half));
      }
    }
    return bytes;
  }
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(info.block_bytes)) {
    for (const int offset : HalfOffsets(type)) {
      const uint16_t half = F32ToF16(scale(random));
      std::memcpy(&bytes[at + static_cast<size_t>(offset)], &half, sizeof(half));
    }
    if (type == DType::kMXFP4) bytes[at] = static_cast<std::byte>(110 + random() % 30);
  }
  return bytes;
}

// The same bytes, starting `shift` bytes after an aligned address.
struct Misaligned {
  Misaligned(std::span<const std::byte> bytes, size_t shift) : room(bytes.size() + shift + 64) {
    const auto address = reinterpret_cast<uintptr_t>(room.data());
    begin = room.data() + (64 - address % 64) % 64 + shift;
    std::memcpy(begin, bytes.data(), bytes.size());
    size = bytes.size();
  }
  std::span<const std::byte> span() const { return {begin, size}; }
  std::vector<std::byte> room;
  std::byte* begin;
  size_t size;
};

}  // namespace quern::kernels
