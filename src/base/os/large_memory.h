// Memory for gigabytes that are written once and then read over and over.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/status.h"

namespace quern::os {

// Owns anonymous memory: zeroed, at a 2 MiB boundary, in huge pages where the system gives them on request, spread over
// all memory nodes where there are several. Address
// space is taken at once, memory when a page is first written. Views into bytes() are valid until destruction.
// Thread-safe as plain memory is.
class LargeMemory {
 public:
  // Errors: kExhausted (no address space; with the number of bytes).
  static Result<std::shared_ptr<LargeMemory>> Create(size_t n_bytes);
  ~LargeMemory();
  LargeMemory(const LargeMemory&) = delete;
  LargeMemory& operator=(const LargeMemory&) = delete;

  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  LargeMemory(void* base, size_t mapped_bytes, std::byte* data, size_t size)
      : base_(base), mapped_bytes_(mapped_bytes), data_(data), size_(size) {}

  void* base_;
  size_t mapped_bytes_;
  std::byte* data_;
  size_t size_;
};

// Says that the pages wholly inside bytes, part of a MappedFile, are not needed for now: they stop counting as this
// process's memory and come back from the file when touched.
void ReleaseMappedPages(std::span<const std::byte> bytes);

}  // namespace quern::os
