#include "api/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>

#include "api/json_writer.h"

namespace quern::api {

namespace json = boost::json;

namespace {

constexpr double kMostBound = 1e300;  // beyond it there is none

struct KindName {
  unsigned bit;
  std::string_view schema;  // of JSON Schema
  std::string_view said;    // in messages
};

constexpr KindName kKindNames[] = {{kStringKind, "string", "a string"},     {kBoolKind, "boolean", "a boolean"},
                                   {kIntegerKind, "integer", "an integer"}, {kNumberKind, "number", "a number"},
                                   {kArrayKind, "array", "an array"},       {kObjectKind, "object", "an object"}};

std::string Expected(unsigned kinds) {
  std::string text;
  for (const KindName& kind : kKindNames) {
    if ((kinds & kind.bit) != 0) text += fmt::format("{}{}", text.empty() ? "" : " or ", kind.said);
  }
  return text;
}

unsigned KindOf(const json::value& value) {
  if (value.is_bool()) return kBoolKind;
  if (value.is_number()) return kIntegerKind | kNumberKind;
  if (value.is_string()) return kStringKind;
  if (value.is_array()) return kArrayKind;
  if (value.is_object()) return kObjectKind;
  return 0;
}

ApiResult<void> CheckNumber(const json::value& value, const std::string& path, const Field& field) {
  if ((field.kinds & kNumberKind) == 0 && !AsInteger(value)) {
    const bool is_fraction = value.is_double() && value.get_double() != std::floor(value.get_double());
    return Fail(BadField(path, fmt::format("Invalid value for '{}': expected an integer.", path),
                         is_fraction ? "invalid_type" : "invalid_value"));
  }
  const double number = value.to_number<double>();
  if (number >= field.min && number <= field.max) return {};
  const std::string max = field.max > kMostBound ? "..." : fmt::format("{}", field.max);
  return Fail(BadField(
      path, fmt::format("Invalid value for '{}': {} is not in the range [{}, {}].", path, number, field.min, max),
      "invalid_value"));
}

ApiResult<void> CheckValue(const json::value& value, const std::string& path, const Field& field) {
  if (field.kinds != kAnyKind && (KindOf(value) & field.kinds) == 0)
    return Fail(WrongKind(path, Expected(field.kinds), value));
  if (value.is_number()) return CheckNumber(value, path, field);
  if (value.is_string() && !field.values.empty() &&
      std::find(field.values.begin(), field.values.end(), std::string_view(value.get_string())) == field.values.end()) {
    return Fail(
        BadField(path,
                 fmt::format("Invalid value for '{}': '{}' is not one of '{}'.", path,
                             std::string_view(value.get_string()).substr(0, 60), fmt::join(field.values, "', '")),
                 "invalid_value"));
  }
  if (value.is_object() && field.object != nullptr) {
    return CheckShape(ObjectReader(value.get_object(), path), *field.object);
  }
  if (!value.is_array() || field.items == nullptr) return {};
  const json::array& items = value.get_array();
  for (size_t i = 0; i < items.size(); ++i) {
    QUERN_API_TRY(CheckValue(items[i], fmt::format("{}[{}]", path, i), *field.items));
  }
  return {};
}

void WriteField(JsonWriter& out, const Field& field);

void WriteProperties(JsonWriter& out, const Shape& shape) {
  for (const Field& field : shape.fields) {
    out.Key(field.name);
    WriteField(out, field);
  }
  for (const Shape* part : shape.parts) WriteProperties(out, *part);
}

void WriteRequired(JsonWriter& out, const Shape& shape) {
  for (const Field& field : shape.fields) {
    if (field.required) out.String(field.name);
  }
  for (const Shape* part : shape.parts) WriteRequired(out, *part);
}

void WriteShape(JsonWriter& out, const Shape& shape) {
  out.Key("properties").BeginObject();
  WriteProperties(out, shape);
  out.EndObject().Key("required").BeginArray();
  WriteRequired(out, shape);
  out.EndArray();
}

void WriteBound(JsonWriter& out, std::string_view key, double bound) {
  if (bound < -kMostBound || bound > kMostBound) return;
  out.Key(key).Number(bound);
}

void WriteField(JsonWriter& out, const Field& field) {
  out.BeginObject();
  if (field.kinds != kAnyKind) {
    out.Key("type").BeginArray();
    for (const KindName& kind : kKindNames) {
      if ((field.kinds & kind.bit) != 0) out.String(kind.schema);
    }
    if (!field.required) out.String("null");
    out.EndArray();
  }
  WriteBound(out, "minimum", field.min);
  WriteBound(out, "maximum", field.max);
  if (!field.values.empty()) {
    // Only of strings: the other kinds that the field may have are not listed.
    out.Key("if").BeginObject().Key("type").String("string").EndObject().Key("then").BeginObject();
    out.Key("enum").BeginArray();
    for (const std::string_view value : field.values) out.String(value);
    out.EndArray().EndObject();
  }
  if (field.object != nullptr) WriteShape(out, *field.object);
  if (field.items != nullptr) {
    out.Key("items");
    WriteField(out, *field.items);
  }
  out.EndObject();
}

}  // namespace

ApiResult<void> CheckShape(const ObjectReader& object, const Shape& shape) {
  for (const Field& field : shape.fields) {
    const json::value* value = object.Find(field.name);
    if (value != nullptr) {
      if (field.kinds != kAnyKind) QUERN_API_TRY(CheckValue(*value, object.PathOf(field.name), field));
    } else if (field.required) {
      const std::string path = object.PathOf(field.name);
      return Fail(BadField(
          path,
          field.missing.empty() ? fmt::format("Missing required parameter: '{}'.", path) : std::string(field.missing),
          "missing_required_parameter"));
    }
  }
  for (const Shape* part : shape.parts) QUERN_API_TRY(CheckShape(object, *part));
  return {};
}

std::string JsonSchemaOf(const Shape& shape) {
  JsonWriter out;
  out.BeginObject().Key("type").String("object");
  WriteShape(out, shape);
  return out.EndObject().Take();
}

}  // namespace quern::api
