// A tensor as a weight file stores it: a name, a type, a shape and a window into the mapped file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace quern::model {

// bytes is valid as long as the Checkpoint (or file) it came from and has exactly the size that dtype and shape need.
// It may stand at any address: safetensors promises no alignment, so read through memcpy or unaligned loads.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // outermost first, as PyTorch prints it; rows run along the last axis
  std::span<const std::byte> bytes;
  int file_idx = 0;  // which of the checkpoint's files holds it

  int64_t n_elements() const {  // fits: checked when the file was read
    int64_t n = 1;
    for (const int64_t dim : shape) n *= dim;
    return n;
  }
};

// "[151936, 2048]", "[]".
std::string ShapeText(std::span<const int64_t> shape);

// Bytes of a dense tensor of this type and shape. Errors: kCorrupt (a negative dim, a last axis that is not a multiple
// of the type's block, more bytes than 2^62). The message does not name the tensor: add it as context.
Result<uint64_t> TensorBytes(DType dtype, std::span<const int64_t> shape);

}  // namespace quern::model
