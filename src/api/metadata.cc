#include "api/metadata.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

namespace quern::api {

namespace json = boost::json;

namespace {

constexpr size_t kMaxPairs = 16;
constexpr size_t kMaxKeyBytes = 64;
constexpr size_t kMaxValueBytes = 512;

}  // namespace

ApiResult<std::string> ReadMetadata(const ObjectReader& body) {
  QUERN_API_ASSIGN(const json::object* pairs, body.Object("metadata"));
  if (pairs == nullptr) return "{}";
  const std::string path = body.PathOf("metadata");
  if (pairs->size() > kMaxPairs) {
    return Fail(BadField(path, fmt::format("Invalid value for '{}': at most {} pairs are allowed.", path, kMaxPairs),
                         "invalid_value"));
  }
  for (const auto& [key, value] : *pairs) {
    if (key.size() > kMaxKeyBytes) {
      return Fail(BadField(path,
                           fmt::format("Invalid value for '{}': a key has more than {} bytes.", path, kMaxKeyBytes),
                           "invalid_value"));
    }
    const std::string pair = fmt::format("{}.{}", path, std::string_view(key));
    if (!value.is_string()) return Fail(WrongKind(pair, "a string", value));
    if (value.get_string().size() > kMaxValueBytes) {
      return Fail(BadField(pair, fmt::format("Invalid value for '{}': more than {} bytes.", pair, kMaxValueBytes),
                           "invalid_value"));
    }
  }
  return json::serialize(*pairs);
}

}  // namespace quern::api
