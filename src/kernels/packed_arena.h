// Room for packed matrices: many small ones side by side in large memory.
#pragma once

#include <cstddef>
#include <memory>

#include "base/os/large_memory.h"
#include "base/status.h"

namespace quern::kernels {

// What Allocate gave stays valid while its owner lives, with or without the arena. One caller at a time.
class PackedArena {
 public:
  // Takes address space in chunks of chunk_bytes, or larger ones where a matrix needs it. Address space is cheap, and
  // what a chunk leaves unused is never touched.
  explicit PackedArena(size_t chunk_bytes = size_t{1} << 30) : chunk_bytes_(chunk_bytes) {}

  struct Room {
    std::byte* data = nullptr;  // zeroed, 64-byte aligned
    std::shared_ptr<const void> owner;
  };

  // Errors: kExhausted (no address space).
  Result<Room> Allocate(size_t n_bytes);

 private:
  size_t chunk_bytes_;
  std::shared_ptr<os::LargeMemory> chunk_;
  size_t used_ = 0;
};

}  // namespace quern::kernels
