#include "model/kv_types.h"

#include <fmt/core.h>

namespace quern::model {
namespace {

Result<kernels::KvType> ParseOne(std::string_view name, std::string_view text) {
  for (const kernels::KvType type : kernels::kKvTypes) {
    if (kernels::KvTypeName(type) == name) return type;
  }
  return Error(
      Code::kInvalidArgument,
      fmt::format("must be f32, i16, f16, bf16, q8 or q4, or two of them for keys and values like q8,q4, not \"{}\"",
                  text));
}

}  // namespace

Result<kernels::KvTypes> ParseKvTypes(std::string_view text) {
  const size_t comma = text.find(',');
  QUERN_ASSIGN(const kernels::KvType k, ParseOne(text.substr(0, comma), text));
  if (comma == std::string_view::npos) return kernels::KvTypes{k, k};
  QUERN_ASSIGN(const kernels::KvType v, ParseOne(text.substr(comma + 1), text));
  return kernels::KvTypes{k, v};
}

std::string KvTypesName(kernels::KvTypes types) {
  const std::string k(kernels::KvTypeName(types.k));
  return types.k == types.v ? k : fmt::format("{},{}", k, kernels::KvTypeName(types.v));
}

}  // namespace quern::model
