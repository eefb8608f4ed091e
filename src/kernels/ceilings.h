// What this machine could do at most: the figures beside which kernels and whole models are measured.
#pragma once

#include <cstddef>

#include "base/thread_pool.h"

namespace quern::kernels {

// Per second, all threads of the pool together, at the level that Kernels() uses. An operation is one multiplication or
// one addition, so a multiply-add counts twice.
struct Ceilings {
  double read_bytes = 0;  // reading memory once, from front to back
  double int8_ops = 0;    // 8-bit dot products with 32-bit sums; 0 where the level has none
  double bf16_ops = 0;    // bf16 dot products, or f32 multiply-adds where the CPU has none: what bf16 weights meet
  double f32_ops = 0;     // f32 multiply-adds; 0 at level ref
  // The same by tiles, which only matrices with many rows of activations can use; 0 where the level has none.
  double tile_int8_ops = 0;
  double tile_bf16_ops = 0;

  // The most that a matrix can be multiplied with.
  double MatrixInt8() const { return tile_int8_ops > 0 ? tile_int8_ops : int8_ops; }
  double MatrixBf16() const { return tile_bf16_ops > 0 ? tile_bf16_ops : bf16_ops; }
};

// The best of several short runs each; takes about half a second and, while it runs, 512 MiB of memory. One caller at a
// time, on an otherwise idle machine.
Ceilings MeasureCeilings(ThreadPool& pool);

// Reads n bytes at data (64-byte aligned, n a multiple of 64) on all threads of the pool; returns bytes per second.
double ReadRate(const std::byte* data, size_t n, ThreadPool& pool);

}  // namespace quern::kernels
