// The kernels this process uses, chosen once from what the CPU offers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "kernels/tile.h"
#include "tensor/dtype.h"

namespace quern::kernels {

// kAmx: AVX-512 with VNNI and bf16 dot products, and AMX for bytes and bf16.
enum class Isa : uint8_t { kRef, kAvx2, kAvx512, kAmx };
inline constexpr Isa kIsas[] = {Isa::kRef, Isa::kAvx2, Isa::kAvx512, Isa::kAmx};  // a CPU's best is its last

// "ref", "avx2", "avx512", "amx".
std::string_view IsaName(Isa isa);

using MatMulFn = void (*)(const MatMulTile& tile);

// How weights of one type are multiplied.
struct MatMulEntry {
  RowForm form = RowForm::kF32;
  MatMulFn fn = nullptr;                 // null: this type is not computed with directly (see Matrix::Prepare)
  int64_t piece_ops = int64_t{1} << 24;  // multiply-adds that take about 100 us with many rows
  int row_step = 24;                     // of many rows so many, or a multiple, are computed best
  int even_rows = 0;  // from so many rows of x on they must lie evenly, see MatMulTile::x_stride; 0: never
};

// Function pointers of one level. All are pure and thread-safe. ref defines what is correct; the others differ from it
// only by the order of f32 additions, by fused multiply-add, by the polynomial exp (relative error below 2e-7), and
// where a MatMulEntry's form says so (kBF16 activations), and in attention by bf16 dot products that take subnormal
// numbers for zero. Products with quantised weights do not differ at all.
struct KernelTable {
  Isa isa = Isa::kRef;

  MatMulEntry f32, f16, bf16, f8_e4m3, q8_0, q4_0, q4_k, q5_k, q6_k;
  const MatMulEntry& MatMul(DType type) const;  // fn is null for other types

  // Rows of activations in another form; out has FormRowBytes(form, n) bytes, 64-byte aligned, and
  // is filled up with zeros to whole groups (bf16: to a multiple of 32). The integers and scales
  // are the same on every level.
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);
  void (*to_x8)(const float* x, int64_t n, GroupX8* out);
  void (*to_x8k)(const float* x, int64_t n, GroupX8K* out);
  // Integers as Fixed16 makes them (fixed16.h), filled up with zeros to a multiple of 8; returns the scale.
  float (*to_fixed16)(const float* x, int64_t n, int16_t* out);

  // out[i] = w[i] * (x[i] / sqrt(mean(x^2) + eps)); out may alias x.
  void (*rms_norm)(const float* x, const float* w, int64_t n, float eps, float* out);
  // out[i] = gate[i] * sigmoid(gate[i]) * up[i]; out may alias either.
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* out);
  // y[i] += a * x[i].
  void (*add_scaled)(const float* x, float a, int64_t n, float* y);
  void (*attention)(const AttentionTile& tile);

  // Gated DeltaNet, see delta_net.h.
  void (*conv_silu)(const ConvTile& tile);
  void (*l2_norm)(float* x, int64_t n, float eps, float scale);
  void (*delta_chunk)(const DeltaChunkTile& tile);
  void (*delta_products)(const DeltaProductsTile& tile);
  void (*sigmoid_mul)(const float* x, const float* gate, int64_t n, float* out);
};

// The table in use. First call decides: the environment variable QUERN_ISA (ref, avx2, avx512, amx) when set and
// offered by this CPU (otherwise one warning on stderr), else the best the CPU has. Thread-safe.
const KernelTable& Kernels();

// The table of one level, or null when this CPU or build does not offer it. Thread-safe.
const KernelTable* TableFor(Isa isa);

// Makes Kernels() return this level from now on; for tests, benches and --isa. Not while other threads compute.
// Errors: kInvalidArgument (unknown name), kUnsupported (this CPU does not offer it).
Result<void> ForceIsa(std::string_view name);

// Bytes of a prepared row of n elements, rounded up to 64.
size_t FormRowBytes(RowForm form, int64_t n);

}  // namespace quern::kernels
