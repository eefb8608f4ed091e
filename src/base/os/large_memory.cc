#include "base/os/large_memory.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/os/memory_nodes.h"

namespace quern::os {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

uintptr_t RoundUp(uintptr_t value, size_t step) { return (value + step - 1) / step * step; }

}  // namespace

Result<std::shared_ptr<LargeMemory>> LargeMemory::Create(size_t n_bytes) {
  const size_t mapped = n_bytes + kHugePage;
  void* base = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return Error(Code::kExhausted, fmt::format("no address space for {} bytes: {}", n_bytes, std::strerror(errno)));
  }
  auto* data = reinterpret_cast<std::byte*>(RoundUp(reinterpret_cast<uintptr_t>(base), kHugePage));
  ::madvise(data, n_bytes, MADV_HUGEPAGE);  // small pages do as well, only slower
  static const std::vector<int> nodes = MemoryNodes();
  if (nodes.size() > 1) SpreadMemory({data, n_bytes}, nodes);
  return std::shared_ptr<LargeMemory>(new LargeMemory(base, mapped, data, n_bytes));
}

LargeMemory::~LargeMemory() { ::munmap(base_, mapped_bytes_); }

void ReleaseMappedPages(std::span<const std::byte> bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t begin = RoundUp(address, page);
  const uintptr_t end = (address + bytes.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace quern::os
