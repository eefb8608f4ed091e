// Scratch memory for kernels: 64-byte aligned, grows and never shrinks, contents not kept when it grows.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace quern::kernels {

// One owner, not thread-safe.
class AlignedBuffer {
 public:
  // At least n_bytes; what Get returned before is dead after a Get that grew. Memory exhaustion throws std::bad_alloc.
  std::byte* Get(size_t n_bytes) {
    if (n_bytes > size_) {
      const size_t size = (n_bytes + n_bytes / 4 + 63) / 64 * 64;
      data_.reset(static_cast<std::byte*>(std::aligned_alloc(64, size)));
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = size;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

}  // namespace quern::kernels
