// What this CPU can do, asked once. Kernels are chosen from it at run time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace quern::os {

struct CpuFeatures {
  bool avx2_fma = false;     // AVX2, FMA and F16C
  bool avx512 = false;       // F, BW, DQ, VL
  bool avx512_vnni = false;  // 8-bit dot products
  bool avx512_bf16 = false;  // bf16 dot products
  bool avx_vnni = false;     // 8-bit dot products in 256-bit registers without AVX-512
  bool amx_int8 = false;     // tile registers, 8-bit dot products
  bool amx_bf16 = false;
};

// What the CPU and the operating system both offer. Thread-safe; computed once; asks the system for the tile registers,
// which are then all threads' of the process.
const CpuFeatures& Cpu();

// e.g. "avx2 avx512 avx512_vnni"; "baseline" when nothing is there.
std::string Describe(const CpuFeatures& features);

// A core's second cache; 1 MiB where the system does not tell.
size_t SecondCacheBytes();

// Brand string of the CPU, e.g. for benchmark headers. "unknown" when it cannot be read.
std::string CpuName();

}  // namespace quern::os
