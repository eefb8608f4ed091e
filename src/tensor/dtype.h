// Element and block types of stored tensors, and how many bytes a row of each takes. No math here.
// Source of the block layouts: the GGUF specification (docs/formats/gguf.md lists the fields).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quern {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF8E4M3,  // fn variant: no infinity, max 448
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2K,
  kQ3K,
  kQ4K,
  kQ5K,
  kQ6K,
  kIQ4NL,
  kIQ4XS,
  kMXFP4,
  kI8,
  kI16,
  kI32,
  kI64,
  kF64,
  kU8,
  kBool,
};

struct DTypeInfo {
  std::string_view name;  // as users write it, e.g. "q4_k", "bf16"
  int block_elements;     // elements per block; 1 for plain types
  int block_bytes;        // bytes per block
};

const DTypeInfo& Info(DType type);

// Bytes of a row of n_elements; n_elements must be a multiple of the block (checked by the caller) and below 2^40.
size_t RowBytes(DType type, int64_t n_elements);

// bf16 and f16 <-> f32. Rounding is to nearest even; NaN stays NaN.
float Bf16ToF32(uint16_t bits);
uint16_t F32ToBf16(float value);
float F16ToF32(uint16_t bits);
uint16_t F32ToF16(float value);

// f8_e4m3 -> f32, exact. The two codes that the format calls NaN (0x7F, 0xFF) read as +-480: no writer of weights makes
// them, and looking for them would touch every byte of a checkpoint at load.
float F8E4M3ToF32(uint8_t bits);

}  // namespace quern
