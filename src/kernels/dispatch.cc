#include "kernels/dispatch.h"

#include <fmt/core.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "base/os/cpu.h"
#include "kernels/ref/ref.h"
#include "kernels/x86/x86.h"

namespace quern::kernels {
namespace {

const MatMulEntry kNoEntry;

std::atomic<const KernelTable*> g_table{nullptr};

#if defined(__x86_64__)

KernelTable Avx2Table() {
  KernelTable t = ref::Table();
  t.isa = Isa::kAvx2;
  t.f32.fn = avx2::MatMulF32;
  t.f16.fn = avx2::MatMulF16;
  t.bf16.fn = avx2::MatMulBF16;
  t.f8_e4m3.fn = avx2::MatMulF8E4M3;
  t.q8_0.fn = avx2::MatMulQ8_0;
  t.q4_0.fn = avx2::MatMulQ4_0;
  t.q4_k.fn = avx2::MatMulQ4K;
  t.q5_k.fn = avx2::MatMulQ5K;
  t.q6_k.fn = avx2::MatMulQ6K;
  t.to_x8 = avx2::ToX8;
  t.to_x8k = avx2::ToX8K;
  t.to_fixed16 = avx2::ToFixed16;
  t.rms_norm = avx2::RmsNorm;
  t.silu_mul = avx2::SiluMul;
  t.add_scaled = avx2::AddScaled;
  t.attention = avx2::Attention;
  t.conv_silu = avx2::ConvSilu;
  t.l2_norm = avx2::L2Norm;
  t.delta_chunk = avx2::DeltaChunk;
  t.delta_products = avx2::DeltaProducts;
  t.sigmoid_mul = avx2::SigmoidMul;
  return t;
}

KernelTable Avx512Table(const os::CpuFeatures& cpu) {
  KernelTable t = ref::Table();
  t.isa = Isa::kAvx512;
  t.f32.fn = avx512::MatMulF32;
  t.f16.fn = avx512::MatMulF16;
  t.bf16.fn = avx512::MatMulBF16;
  t.f8_e4m3.fn = avx512::MatMulF8E4M3;
  t.q8_0.fn = cpu.avx512_vnni ? avx512vnni::MatMulQ8_0 : avx512::MatMulQ8_0;
  t.q4_0.fn = cpu.avx512_vnni ? avx512vnni::MatMulQ4_0 : avx512::MatMulQ4_0;
  t.q4_k.fn = cpu.avx512_vnni ? avx512vnni::MatMulQ4K : avx512::MatMulQ4K;
  t.q5_k.fn = cpu.avx512_vnni ? avx512vnni::MatMulQ5K : avx512::MatMulQ5K;
  t.q6_k.fn = cpu.avx512_vnni ? avx512vnni::MatMulQ6K : avx512::MatMulQ6K;
  if (cpu.avx512_bf16) {
    t.bf16 = {RowForm::kBF16, avx512bf16::MatMulBF16};
    t.to_bf16 = avx512bf16::ToBf16;
  }
  t.to_x8 = avx512::ToX8;
  t.to_x8k = avx512::ToX8K;
  t.to_fixed16 = avx2::ToFixed16;
  t.rms_norm = avx512::RmsNorm;
  t.silu_mul = avx512::SiluMul;
  t.add_scaled = avx512::AddScaled;
  t.attention = cpu.avx512_vnni ? avx512vnni::Attention : avx512::Attention;
  if (cpu.avx512_vnni && cpu.avx512_bf16) t.attention = avx512bf16::Attention;
  t.conv_silu = avx512::ConvSilu;
  t.l2_norm = avx512::L2Norm;
  t.delta_chunk = avx512::DeltaChunk;
  t.delta_products = avx512::DeltaProducts;
  t.sigmoid_mul = avx512::SigmoidMul;
  return t;
}

KernelTable AmxTable(const os::CpuFeatures& cpu) {
  KernelTable t = Avx512Table(cpu);
  t.isa = Isa::kAmx;
  // Fewer rows of quantised weights are left to avx512vnni, whose bits are the same; those of bf16 are not.
  constexpr int64_t kPieceOps = int64_t{1} << 26;
  constexpr int kRowStep = 128;
  t.bf16 = {RowForm::kBF16, amx::MatMulBF16, kPieceOps, kRowStep, 2};
  t.q8_0 = {RowForm::kX8, amx::MatMulQ8_0, kPieceOps, kRowStep, amx::kMinRows};
  t.q4_0 = {RowForm::kX8, amx::MatMulQ4_0, kPieceOps, kRowStep, amx::kMinRows};
  t.q4_k = {RowForm::kX8K, amx::MatMulQ4K, kPieceOps, kRowStep, amx::kMinRows};
  t.q5_k = {RowForm::kX8K, amx::MatMulQ5K, kPieceOps, kRowStep, amx::kMinRows};
  t.q6_k = {RowForm::kX8K, amx::MatMulQ6K, kPieceOps, kRowStep, amx::kMinRows};
  return t;
}

const KernelTable* X86TableFor(Isa isa) {
  const os::CpuFeatures& cpu = os::Cpu();
  static const KernelTable avx2_table = Avx2Table();
  static const KernelTable avx512_table = Avx512Table(cpu);
  if (isa == Isa::kAvx2 && cpu.avx2_fma) return &avx2_table;
  if (isa == Isa::kAvx512 && cpu.avx512) return &avx512_table;
  if (isa == Isa::kAmx && cpu.avx512_vnni && cpu.avx512_bf16 && cpu.amx_int8 && cpu.amx_bf16) {
    static const KernelTable amx_table = AmxTable(cpu);
    return &amx_table;
  }
  return nullptr;
}

#else

const KernelTable* X86TableFor(Isa) { return nullptr; }

#endif

const KernelTable* Best() {
  const KernelTable* best = nullptr;
  for (const Isa isa : kIsas) {
    if (const KernelTable* table = TableFor(isa)) best = table;
  }
  return best;
}

Result<const KernelTable*> ByName(std::string_view name) {
  for (const Isa isa : kIsas) {
    if (IsaName(isa) != name) continue;
    if (const KernelTable* table = TableFor(isa)) return table;
    return Error(Code::kUnsupported,
                 fmt::format("instruction set {}: this CPU offers {}", name, os::Describe(os::Cpu())));
  }
  return Error(Code::kInvalidArgument, fmt::format("instruction set \"{}\": known are ref, avx2, avx512, amx", name));
}

const KernelTable* Choose() {
  const char* wanted = std::getenv("QUERN_ISA");
  if (wanted == nullptr || *wanted == '\0') return Best();
  if (auto table = ByName(wanted)) {
    return *table;
  } else {
    fmt::print(stderr, "warning: QUERN_ISA: {}; using {}\n", table.error().message(), IsaName(Best()->isa));
  }
  return Best();
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kRef:
      return "ref";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAmx:
      return "amx";
  }
  return "unknown";
}

const MatMulEntry& KernelTable::MatMul(DType type) const {
  switch (type) {
    case DType::kF32:
      return f32;
    case DType::kF16:
      return f16;
    case DType::kBF16:
      return bf16;
    case DType::kF8E4M3:
      return f8_e4m3;
    case DType::kQ8_0:
      return q8_0;
    case DType::kQ4_0:
      return q4_0;
    case DType::kQ4K:
      return q4_k;
    case DType::kQ5K:
      return q5_k;
    case DType::kQ6K:
      return q6_k;
    default:
      return kNoEntry;
  }
}

const KernelTable* TableFor(Isa isa) {
  static const KernelTable ref_table = ref::Table();
  return isa == Isa::kRef ? &ref_table : X86TableFor(isa);
}

const KernelTable& Kernels() {
  const KernelTable* table = g_table.load(std::memory_order_acquire);
  if (table == nullptr) {
    static const KernelTable* const chosen = Choose();
    const KernelTable* expected = nullptr;
    g_table.compare_exchange_strong(expected, chosen, std::memory_order_acq_rel);
    table = g_table.load(std::memory_order_acquire);
  }
  return *table;
}

Result<void> ForceIsa(std::string_view name) {
  QUERN_ASSIGN(const KernelTable* table, ByName(name));
  g_table.store(table, std::memory_order_release);
  return {};
}

size_t FormRowBytes(RowForm form, int64_t n) {
  QUERN_CHECK(n >= 0);
  const size_t count = static_cast<size_t>(n);
  size_t bytes = 0;
  switch (form) {
    case RowForm::kF32:
      bytes = count * 4;
      break;
    case RowForm::kBF16:
      bytes = count * 2;
      break;
    case RowForm::kX8:
      bytes = (count + 255) / 256 * sizeof(GroupX8);
      break;
    case RowForm::kX8K:
      bytes = (count + 255) / 256 * sizeof(GroupX8K);
      break;
  }
  return (bytes + 63) / 64 * 64;
}

}  // namespace quern::kernels
