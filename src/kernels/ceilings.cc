#include "kernels/ceilings.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/os/cpu.h"
#include "kernels/aligned_buffer.h"
#include "kernels/dispatch.h"
#include "kernels/x86/x86.h"

namespace quern::kernels {
namespace {

using Clock = std::chrono::steady_clock;
using PeakFn = int32_t (*)(int64_t n_rounds);

constexpr size_t kReadBytes = size_t{512} << 20;  // beyond every cache of the machines we know
constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr int kReadRepeats = 4;
constexpr int kPeakRepeats = 5;
constexpr int64_t kPeakRounds = 1 << 20;  // some milliseconds per run

// Results go here, so that no loop is removed.
std::atomic<uint64_t> g_sink{0};

double Seconds(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

uint64_t SumWords(const uint64_t* p, size_t n) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i < n; i += 8) {
    for (size_t k = 0; k < 8; ++k) sums[k] += p[i + k];
  }
  uint64_t all = 0;
  for (const uint64_t sum : sums) all += sum;
  return all;
}

double PeakRate(PeakFn fn, double ops_per_round, ThreadPool& pool) {
  if (fn == nullptr) return 0;
  const auto n = static_cast<size_t>(pool.n_threads());
  double best = 0;
  for (int repeat = 0; repeat < kPeakRepeats; ++repeat) {
    const auto begin = Clock::now();
    pool.ParallelFor(n, [&](size_t, int) { g_sink += static_cast<uint64_t>(fn(kPeakRounds)); });
    best = std::max(best, ops_per_round * static_cast<double>(kPeakRounds) * static_cast<double>(n) / Seconds(begin));
  }
  return best;
}

struct Peaks {
  PeakFn int8 = nullptr, bf16 = nullptr, f32 = nullptr;
  double int8_ops = 0, bf16_ops = 0, f32_ops = 0;  // per round
  PeakFn tile_int8 = nullptr, tile_bf16 = nullptr;
  double tile_int8_ops = 0, tile_bf16_ops = 0;
};

Peaks PeaksOfLevel() {
  Peaks p;
#if defined(__x86_64__)
  const Isa isa = Kernels().isa;
  const os::CpuFeatures& cpu = os::Cpu();
  if (isa == Isa::kAvx2) p = {avx2::Int8Peak, avx2::F32Peak, avx2::F32Peak, 512, 128, 128};
  if (isa == Isa::kAvx512 || isa == Isa::kAmx) {
    p = {avx2::Int8Peak, avx512::F32Peak, avx512::F32Peak, 512, 256, 256};
    if (cpu.avx512_vnni) p.int8 = avx512vnni::Int8Peak, p.int8_ops = 1024;
    if (cpu.avx512_bf16) p.bf16 = avx512bf16::Bf16Peak, p.bf16_ops = 512;
  }
  if (isa == Isa::kAmx) {
    p.tile_int8 = amx::Int8Peak, p.tile_int8_ops = 4 * 2 * 16 * 16 * 64;
    p.tile_bf16 = amx::Bf16Peak, p.tile_bf16_ops = 4 * 2 * 16 * 16 * 32;
  }
#endif
  return p;
}

}  // namespace

double ReadRate(const std::byte* data, size_t n, ThreadPool& pool) {
  const size_t n_pieces = (n + kPieceBytes - 1) / kPieceBytes;
  const auto begin = Clock::now();
  pool.ParallelFor(n_pieces, [&](size_t piece, int) {
    const size_t first = piece * kPieceBytes;
    const auto* words = reinterpret_cast<const uint64_t*>(data + first);
    g_sink += SumWords(words, std::min(kPieceBytes, n - first) / sizeof(uint64_t));
  });
  return static_cast<double>(n) / Seconds(begin);
}

Ceilings MeasureCeilings(ThreadPool& pool) {
  Ceilings out;
  AlignedBuffer buffer;
  std::byte* data = buffer.Get(kReadBytes);
  std::fill_n(data, kReadBytes, std::byte{1});
  for (int repeat = 0; repeat < kReadRepeats; ++repeat) {
    out.read_bytes = std::max(out.read_bytes, ReadRate(data, kReadBytes, pool));
  }
  const Peaks peaks = PeaksOfLevel();
  out.int8_ops = PeakRate(peaks.int8, peaks.int8_ops, pool);
  out.bf16_ops = PeakRate(peaks.bf16, peaks.bf16_ops, pool);
  out.f32_ops = peaks.bf16 == peaks.f32 ? out.bf16_ops : PeakRate(peaks.f32, peaks.f32_ops, pool);
  out.tile_int8_ops = PeakRate(peaks.tile_int8, peaks.tile_int8_ops, pool);
  out.tile_bf16_ops = PeakRate(peaks.tile_bf16, peaks.tile_bf16_ops, pool);
  return out;
}

}  // namespace quern::kernels
