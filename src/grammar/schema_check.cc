#include "grammar/schema_check.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"

namespace quern::grammar {

namespace json = boost::json;

namespace {

// Keywords that say something about a value which a grammar of tokens cannot hold.
constexpr std::string_view kUnenforced[] = {"not",
                                            "if",
                                            "then",
                                            "else",
                                            "contains",
                                            "minContains",
                                            "maxContains",
                                            "propertyNames",
                                            "dependencies",
                                            "dependentRequired",
                                            "dependentSchemas",
                                            "$dynamicRef",
                                            "$recursiveRef",
                                            "unevaluatedItems",
                                            "unevaluatedProperties"};
constexpr std::string_view kSchemaKeys[] = {"items", "additionalItems", "additionalProperties"};
constexpr std::string_view kSchemaMaps[] = {"properties", "patternProperties", "$defs", "definitions"};
constexpr std::string_view kSchemaLists[] = {"anyOf", "oneOf", "allOf", "prefixItems"};

constexpr double kLargestExactInteger = 9007199254740992.0;  // 2^53: the grammar's numbers are doubles

bool IsOneOf(std::string_view key, std::span<const std::string_view> keys) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

class Checker {
 public:
  explicit Checker(const SchemaLimits& limits) : limits_(limits) {}

  Result<void> Check(const json::value& schema, const std::string& path, int depth) {
    if (schema.is_bool()) return {};
    if (!schema.is_object()) return Bad(path, fmt::format("is {}, must be a schema (an object)", JsonKindName(schema)));
    if (depth > limits_.max_depth)
      return Error(Code::kExhausted,
                   fmt::format("the schema is nested deeper than {} at '{}'", limits_.max_depth, path));
    if (++n_schemas_ > limits_.max_schemas)
      return Error(Code::kExhausted, fmt::format("the schema has more than {} parts", limits_.max_schemas));
    const json::object& object = schema.get_object();
    for (const auto& [key, value] : object) {
      const std::string at = path.empty() ? std::string(key) : fmt::format("{}.{}", path, std::string_view(key));
      QUERN_TRY(CheckKeyword(key, value, at, depth));
    }
    return CheckCounts(object, path);
  }

 private:
  static std::unexpected<Status> Bad(const std::string& path, const std::string& what) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{} {}", path.empty() ? "the schema" : fmt::format("'{}'", path), what));
  }
  static std::unexpected<Status> Unsupported(std::string_view keyword, const std::string& path,
                                             const std::string& why) {
    return Error(Code::kUnsupported, fmt::format("'{}' at '{}' cannot be enforced{}", keyword, path, why));
  }

  Result<void> CheckKeyword(std::string_view key, const json::value& value, const std::string& at, int depth) {
    if (IsOneOf(key, kUnenforced)) return Unsupported(key, at, "");
    if (key == "uniqueItems" && !(value.is_bool() && !value.get_bool())) return Unsupported(key, at, "");
    if (key == "$schema" && depth > 1) return Unsupported(key, at, " inside a schema");
    if (key == "$ref") return CheckRef(value, at);
    if (key == "items" && value.is_array()) return Unsupported(key, at, " as a list; use 'prefixItems'");
    if (IsOneOf(key, kSchemaKeys)) return Check(value, at, depth + 1);
    if (IsOneOf(key, kSchemaMaps)) return CheckMap(value, at, depth);
    if (IsOneOf(key, kSchemaLists)) return CheckList(value, at, depth);
    if (key == "const" || key == "enum") return CheckConstant(value, key, at);
    if (key == "required" && !value.is_array()) return Bad(at, "must be a list of names");
    return {};
  }

  static Result<void> CheckRef(const json::value& value, const std::string& at) {
    if (!value.is_string()) return Bad(at, fmt::format("is {}, must be a string", JsonKindName(value)));
    const std::string_view target = value.get_string();
    if (!target.starts_with('#'))
      return Unsupported("$ref", at, fmt::format(": '{}' is outside the schema", target.substr(0, 100)));
    return {};
  }

  Result<void> CheckMap(const json::value& value, const std::string& at, int depth) {
    if (!value.is_object()) return Bad(at, fmt::format("is {}, must be an object", JsonKindName(value)));
    for (const auto& [name, schema] : value.get_object())
      QUERN_TRY(Check(schema, fmt::format("{}.{}", at, std::string_view(name)), depth + 1));
    return {};
  }

  Result<void> CheckList(const json::value& value, const std::string& at, int depth) {
    if (!value.is_array()) return Bad(at, fmt::format("is {}, must be a list", JsonKindName(value)));
    const json::array& list = value.get_array();
    for (size_t i = 0; i < list.size(); ++i) QUERN_TRY(Check(list[i], fmt::format("{}[{}]", at, i), depth + 1));
    return {};
  }

  static Result<void> CheckConstant(const json::value& value, std::string_view key, const std::string& at) {
    if (value.is_array()) {
      for (const json::value& item : value.get_array()) QUERN_TRY(CheckConstant(item, key, at));
    } else if (value.is_object()) {
      for (const auto& [name, item] : value.get_object()) QUERN_TRY(CheckConstant(item, key, at));
    } else if (value.is_number() && std::abs(value.to_number<double>()) > kLargestExactInteger) {
      return Unsupported(key, at, " for a number beyond 2^53");
    }
    return {};
  }

  // Names that no property declares may come twice, and count once when the text is read.
  static Result<void> CheckCounts(const json::object& schema, const std::string& path) {
    const json::value* least = schema.if_contains("minProperties");
    if (least == nullptr) return {};
    const json::value* required = schema.if_contains("required");
    const size_t n_required = required != nullptr && required->is_array() ? required->get_array().size() : 0;
    const double n = least->is_number() ? least->to_number<double>() : 0;
    if (n > 1 && n > static_cast<double>(n_required))
      return Unsupported("minProperties", path, " beyond the number of required properties");
    return {};
  }

  const SchemaLimits limits_;
  size_t n_schemas_ = 0;
};

}  // namespace

Result<void> CheckSchema(const json::value& schema, const SchemaLimits& limits) {
  return Checker(limits).Check(schema, "", 1);
}

}  // namespace quern::grammar
