#include "api/json_reader.h"

#include <fmt/format.h>

#include <cmath>

#include "base/json.h"
#include "base/utf8.h"

namespace quern::api {

namespace json = boost::json;

namespace {

ApiError NotJson(std::string message) {
  return BadField("", "We could not parse the JSON body of your request: " + std::move(message), "invalid_json");
}

}  // namespace

ApiResult<json::value> ParseBody(std::string_view body, const Limits& limits) {
  // Some Windows clients begin with a byte order mark.
  if (body.starts_with("\xEF\xBB\xBF")) body.remove_prefix(3);
  if (body.empty()) return Fail(NotJson("it is empty"));
  if (!IsValidUtf8(body)) return Fail(NotJson("it is not valid UTF-8"));
  Result<json::value> parsed = ParseJson(body, {.max_bytes = body.size(),
                                                .max_depth = static_cast<size_t>(limits.max_json_depth),
                                                .max_values = limits.max_json_values});
  if (parsed) return *std::move(parsed);
  std::string message = parsed.error().message();
  if (parsed.error().code() == Code::kExhausted) message += " (limits max_json_depth and max_json_values)";
  return Fail(NotJson(std::move(message)));
}

std::optional<int64_t> AsInteger(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64() && value.get_uint64() <= static_cast<uint64_t>(INT64_MAX)) {
    return static_cast<int64_t>(value.get_uint64());
  }
  if (value.is_double()) {
    const double number = value.get_double();
    // 2^53: beyond it a double no longer says which integer was meant.
    if (std::abs(number) <= 9007199254740992.0 && number == std::floor(number)) return static_cast<int64_t>(number);
  }
  return std::nullopt;
}

namespace {

// Written with a fraction; numbers beyond 64 bits are doubles too, but integers to the one who wrote them.
bool IsFraction(const json::value& value) {
  return value.is_double() && value.get_double() != std::floor(value.get_double());
}

}  // namespace

ApiError WrongKind(const std::string& path, std::string_view expected, const json::value& value) {
  return BadField(
      path, fmt::format("Invalid type for '{}': expected {}, but got {} instead.", path, expected, JsonKindName(value)),
      "invalid_type");
}

std::string ObjectReader::PathOf(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const json::value* ObjectReader::Find(std::string_view name) const {
  const json::value* value = object_->if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

ApiResult<std::optional<bool>> ObjectReader::Bool(std::string_view name) const {
  const json::value* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_bool()) return Fail(WrongKind(PathOf(name), "a boolean", *value));
  return value->get_bool();
}

ApiResult<std::optional<int64_t>> ObjectReader::Int(std::string_view name, int64_t min, int64_t max) const {
  const json::value* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const std::string path = PathOf(name);
  if (!value->is_number()) return Fail(WrongKind(path, "an integer", *value));
  const std::optional<int64_t> number = AsInteger(*value);
  if (!number) {
    return Fail(BadField(path, fmt::format("Invalid value for '{}': expected an integer in [{}, {}].", path, min, max),
                         IsFraction(*value) ? "invalid_type" : "invalid_value"));
  }
  if (*number < min || *number > max) {
    return Fail(
        BadField(path, fmt::format("Invalid value for '{}': {} is not in the range [{}, {}].", path, *number, min, max),
                 "invalid_value"));
  }
  return *number;
}

ApiResult<std::optional<double>> ObjectReader::Number(std::string_view name, double min, double max) const {
  const json::value* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const std::string path = PathOf(name);
  if (!value->is_number()) return Fail(WrongKind(path, "a number", *value));
  const double number = value->to_number<double>();
  if (!(number >= min && number <= max)) {
    return Fail(
        BadField(path, fmt::format("Invalid value for '{}': {} is not in the range [{}, {}].", path, number, min, max),
                 "invalid_value"));
  }
  return number;
}

ApiResult<std::optional<std::string_view>> ObjectReader::String(std::string_view name) const {
  const json::value* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return Fail(WrongKind(PathOf(name), "a string", *value));
  return std::string_view(value->get_string());
}

ApiResult<const json::object*> ObjectReader::Object(std::string_view name) const {
  const json::value* value = Find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) return Fail(WrongKind(PathOf(name), "an object", *value));
  return &value->get_object();
}

ApiResult<const json::array*> ObjectReader::Array(std::string_view name) const {
  const json::value* value = Find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) return Fail(WrongKind(PathOf(name), "an array", *value));
  return &value->get_array();
}

ApiResult<std::string_view> ObjectReader::NeedString(std::string_view name) const {
  QUERN_API_ASSIGN(const std::optional<std::string_view> text, String(name));
  if (!text) {
    const std::string path = PathOf(name);
    return Fail(BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter"));
  }
  return *text;
}

}  // namespace quern::api
