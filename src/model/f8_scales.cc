#include "model/f8_scales.h"

#include <fmt/core.h>

#include <array>
#include <string>

#include "model/checkpoint.h"

namespace quern::model {

Result<const StoredTensor*> FindF8Scales(const Checkpoint& checkpoint, const StoredTensor& tensor) {
  const std::string name = tensor.name + std::string(kF8ScaleSuffix);
  const StoredTensor* scales = checkpoint.Find(name);
  const auto fail = [&](std::string_view text) {
    return Error(Code::kCorrupt, fmt::format("{}: {}", checkpoint.Where(tensor), text));
  };
  if (tensor.dtype != DType::kF8E4M3) {
    if (scales == nullptr) return nullptr;
    return fail(fmt::format("type {}, but \"{}\" gives it the scales of f8_e4m3", Info(tensor.dtype).name, name));
  }
  if (scales == nullptr) return fail(fmt::format("type f8_e4m3 without its scales: \"{}\" is missing", name));
  if (tensor.shape.size() != 2) {
    return fail(fmt::format("type f8_e4m3 with shape {}: expected a matrix", ShapeText(tensor.shape)));
  }
  const auto blocks = [](int64_t n) { return (n + kF8BlockSide - 1) / kF8BlockSide; };
  const std::array<int64_t, 2> expected{blocks(tensor.shape[0]), blocks(tensor.shape[1])};
  QUERN_TRY(checkpoint.Get(name, expected));
  if (scales->dtype != DType::kF32 && scales->dtype != DType::kBF16 && scales->dtype != DType::kF16) {
    return Error(Code::kCorrupt, fmt::format("{}: type {}, expected f32, f16 or bf16", checkpoint.Where(*scales),
                                             Info(scales->dtype).name));
  }
  return scales;
}

}  // namespace quern::model
