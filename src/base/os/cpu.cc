#include "base/os/cpu.h"

#include <cstdint>
#include <fstream>

#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

namespace quern::os {
namespace {

#if defined(__x86_64__)

struct Leaf {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Leaf Cpuid(uint32_t leaf, uint32_t sub) {
  Leaf r;
  if (__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d) == 0) return Leaf{};
  return r;
}

// Which register files the operating system saves (XCR0).
uint64_t Xcr0() {
  uint32_t lo = 0, hi = 0;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (static_cast<uint64_t>(hi) << 32) | lo;
}

// Linux gives a process the tile registers only when it asks.
bool TilesGranted() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool Bit(uint32_t word, int bit) { return ((word >> bit) & 1U) != 0; }

CpuFeatures Detect() {
  CpuFeatures f;
  const Leaf l1 = Cpuid(1, 0);
  if (!Bit(l1.c, 27)) return f;  // OSXSAVE
  const uint64_t xcr0 = Xcr0();
  const bool os_avx = (xcr0 & 0x6) == 0x6;
  const bool os_avx512 = (xcr0 & 0xe6) == 0xe6;
  const Leaf l7 = Cpuid(7, 0);
  const Leaf l71 = Cpuid(7, 1);
  f.avx2_fma = os_avx && Bit(l7.b, 5) && Bit(l1.c, 12) && Bit(l1.c, 29);
  f.avx512 = f.avx2_fma && os_avx512 && Bit(l7.b, 16) && Bit(l7.b, 17) && Bit(l7.b, 30) && Bit(l7.b, 31);
  f.avx512_vnni = f.avx512 && Bit(l7.c, 11);
  f.avx512_bf16 = f.avx512 && Bit(l71.a, 5);
  f.avx_vnni = f.avx2_fma && Bit(l71.a, 4);
  const bool amx = (xcr0 & 0x60000) == 0x60000 && Bit(l7.d, 24) && TilesGranted();
  f.amx_int8 = amx && Bit(l7.d, 25);
  f.amx_bf16 = amx && Bit(l7.d, 22);
  return f;
}

#else

CpuFeatures Detect() { return CpuFeatures{}; }

#endif

}  // namespace

const CpuFeatures& Cpu() {
  static const CpuFeatures features = Detect();
  return features;
}

std::string Describe(const CpuFeatures& f) {
  std::string text;
  const auto add = [&text](bool has, std::string_view name) {
    if (!has) return;
    if (!text.empty()) text += ' ';
    text += name;
  };
  add(f.avx2_fma, "avx2");
  add(f.avx_vnni, "avx_vnni");
  add(f.avx512, "avx512");
  add(f.avx512_vnni, "avx512_vnni");
  add(f.avx512_bf16, "avx512_bf16");
  add(f.amx_int8, "amx_int8");
  add(f.amx_bf16, "amx_bf16");
  return text.empty() ? "baseline" : text;
}

size_t SecondCacheBytes() {
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? static_cast<size_t>(bytes) : size_t{1} << 20;
}

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace quern::os
