#include "kernels/packed_arena.h"

#include <algorithm>

namespace quern::kernels {

Result<PackedArena::Room> PackedArena::Allocate(size_t n_bytes) {
  const size_t size = (n_bytes + 63) / 64 * 64;
  if (chunk_ == nullptr || chunk_->bytes().size() - used_ < size) {
    QUERN_ASSIGN(chunk_, os::LargeMemory::Create(std::max(size, chunk_bytes_)));
    used_ = 0;
  }
  Room room{chunk_->bytes().data() + used_, chunk_};
  used_ += size;
  return room;
}

}  // namespace quern::kernels
