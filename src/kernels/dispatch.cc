#include "kernels/dispatch.h"

#include <fmt/core.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "base/os/cpu.h"
#include "kernels/ref/ref.h"

namespace quern::kernels {
namespace {

const MatMulEntry kNoEntry;

std::atomic<const KernelTable*> g_table{nullptr};

const KernelTable* Best() {
  for (const Isa isa : {Isa::kAvx512, Isa::kAvx2}) {
    if (const KernelTable* table = TableFor(isa)) return table;
  }
  return TableFor(Isa::kRef);
}

Result<const KernelTable*> ByName(std::string_view name) {
  for (const Isa isa : {Isa::kRef, Isa::kAvx2, Isa::kAvx512}) {
    if (IsaName(isa) != name) continue;
    if (const KernelTable* table = TableFor(isa)) return table;
    return Error(Code::kUnsupported,
                 fmt::format("instruction set {}: this CPU offers {}", name, os::Describe(os::Cpu())));
  }
  return Error(Code::kInvalidArgument, fmt::format("instruction set \"{}\": known are ref, avx2, avx512", name));
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
  return isa == Isa::kRef ? &ref_table : nullptr;
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
    case RowForm::kX8K:
      bytes = (count + 255) / 256 * sizeof(GroupX8);
      break;
  }
  return (bytes + 63) / 64 * 64;
}

}  // namespace quern::kernels
