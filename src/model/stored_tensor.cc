#include "model/stored_tensor.h"

#include <fmt/core.h>

#include <algorithm>

namespace quern::model {
namespace {

constexpr uint64_t kMaxTensorBytes = uint64_t{1} << 62;

}  // namespace

std::string ShapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

Result<uint64_t> TensorBytes(DType dtype, std::span<const int64_t> shape) {
  const DTypeInfo& info = Info(dtype);
  for (const int64_t dim : shape) {
    if (dim < 0) return Error(Code::kCorrupt, fmt::format("shape {} has a negative dim", ShapeText(shape)));
  }
  const auto block = static_cast<uint64_t>(info.block_elements);
  const uint64_t row = shape.empty() ? 1 : static_cast<uint64_t>(shape.back());
  if (row % block != 0) {
    return Error(Code::kCorrupt,
                 fmt::format("shape {}: rows of {} elements are no multiple of the {} elements in a {} block",
                             ShapeText(shape), row, block, info.name));
  }
  uint64_t bytes = 0;
  bool overflow = __builtin_mul_overflow(row / block, static_cast<uint64_t>(info.block_bytes), &bytes);
  uint64_t elements =
      std::max<uint64_t>(row, 1);  // for n_elements(): a dim of 0 must not hide an overflow of the others
  for (size_t i = 0; i + 1 < shape.size(); ++i) {
    overflow = overflow || __builtin_mul_overflow(bytes, static_cast<uint64_t>(shape[i]), &bytes);
    overflow =
        overflow || __builtin_mul_overflow(elements, std::max<uint64_t>(static_cast<uint64_t>(shape[i]), 1), &elements);
  }
  if (overflow || bytes > kMaxTensorBytes || elements > kMaxTensorBytes) {
    return Error(Code::kCorrupt, fmt::format("shape {} of {} needs more than 2^62 bytes", ShapeText(shape), info.name));
  }
  return bytes;
}

}  // namespace quern::model
