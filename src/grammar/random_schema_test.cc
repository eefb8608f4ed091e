// Random schemas, random tokens among those allowed: every text that comes out is JSON and fits its schema, by a
// validator that shares nothing with the grammar.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/json.h"
#include "base/utf8.h"
#include "grammar/json_schema.h"
#include "grammar/test_walk.h"

namespace quern::grammar {
namespace {

namespace json = boost::json;

class SchemaMaker {
 public:
  explicit SchemaMaker(unsigned seed) : rng_(seed) {}

  json::value Any(int depth) {
    switch (rng_() % (depth > 0 ? 9 : 6)) {
      case 0:
        return Integer();
      case 1:
        return String();
      case 2:
        return json::object{{"type", "boolean"}};
      case 3:
        return json::object{{"enum", json::array{"red", "green", 3, nullptr, "a \"quoted\" one"}}};
      case 4:
        return json::object{{"type", json::array{"null", "integer"}}};
      case 5:
        return json::object{{"const", json::object{{"k", json::array{1, "two"}}}}};
      case 6:
        return Array(depth);
      case 7:
        return json::object{{"anyOf", json::array{Any(depth - 1), Any(depth - 1)}}};
      default:
        return Object(depth);
    }
  }

 private:
  json::object Integer() {
    const int64_t low = static_cast<int64_t>(rng_() % 2000) - 1000;
    json::object schema{{"type", "integer"}};
    if (rng_() % 2 == 0) schema["minimum"] = low;
    if (rng_() % 2 == 0) schema["maximum"] = low + static_cast<int64_t>(rng_() % 500);
    return schema;
  }
  json::object String() {
    json::object schema{{"type", "string"}};
    const unsigned low = rng_() % 4;
    if (rng_() % 2 == 0) schema["minLength"] = low;
    if (rng_() % 2 == 0) schema["maxLength"] = low + rng_() % 6;
    return schema;
  }
  json::object Array(int depth) {
    const unsigned low = rng_() % 3;
    json::object schema{{"type", "array"}, {"items", Any(depth - 1)}};
    if (rng_() % 2 == 0) schema["minItems"] = low;
    if (rng_() % 2 == 0) schema["maxItems"] = low + rng_() % 4;
    return schema;
  }
  json::object Object(int depth) {
    json::object properties;
    json::array required;
    const unsigned n = rng_() % 4;
    for (unsigned i = 0; i < n; ++i) {
      const std::string name = fmt::format("{}_{}", rng_() % 2 == 0 ? "naïve" : "p", i);
      properties[name] = Any(depth - 1);
      if (rng_() % 2 == 0) required.emplace_back(name);
    }
    json::object schema{{"type", "object"}, {"properties", properties}, {"required", required}};
    const unsigned extra = rng_() % 3;
    if (extra == 0) schema["additionalProperties"] = false;
    if (extra == 1) schema["additionalProperties"] = Any(0);
    return schema;
  }

  std::mt19937 rng_;
};

bool Fits(const json::value& value, const json::value& schema);

bool HasType(const json::value& value, std::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_bool();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  return value.is_int64() || value.is_uint64();
}

size_t Characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

bool Within(double x, const json::object& schema, const char* least, const char* most) {
  const json::value* low = schema.if_contains(least);
  const json::value* high = schema.if_contains(most);
  return (low == nullptr || x >= low->to_number<double>()) && (high == nullptr || x <= high->to_number<double>());
}

bool ObjectFits(const json::object& value, const json::object& schema) {
  const json::object* properties = nullptr;
  if (const auto* p = schema.if_contains("properties")) properties = &p->as_object();
  if (const auto* required = schema.if_contains("required")) {
    for (const auto& name : required->as_array())
      if (!value.contains(name.as_string())) return false;
  }
  for (const auto& [name, member] : value) {
    const json::value* own = properties != nullptr ? properties->if_contains(name) : nullptr;
    const json::value* rest = own != nullptr ? own : schema.if_contains("additionalProperties");
    if (rest != nullptr && !Fits(member, *rest)) return false;
  }
  return true;
}

bool Fits(const json::value& value, const json::value& any_schema) {
  if (any_schema.is_bool()) return any_schema.get_bool();
  const json::object& schema = any_schema.as_object();
  if (const auto* constant = schema.if_contains("const")) return value == *constant;
  if (const auto* list = schema.if_contains("enum"))
    return std::any_of(list->as_array().begin(), list->as_array().end(), [&](const auto& v) { return v == value; });
  if (const auto* list = schema.if_contains("anyOf"))
    return std::any_of(list->as_array().begin(), list->as_array().end(), [&](const auto& s) { return Fits(value, s); });
  const json::value& type = schema.at("type");
  if (type.is_array())
    return std::any_of(type.as_array().begin(), type.as_array().end(),
                       [&](const auto& t) { return HasType(value, t.as_string()); });
  if (!HasType(value, type.as_string())) return false;
  if (value.is_object()) return ObjectFits(value.get_object(), schema);
  if (value.is_string())
    return Within(static_cast<double>(Characters(value.get_string())), schema, "minLength", "maxLength");
  if (value.is_array()) {
    const json::array& items = value.get_array();
    return Within(static_cast<double>(items.size()), schema, "minItems", "maxItems") &&
           std::all_of(items.begin(), items.end(), [&](const auto& item) { return Fits(item, schema.at("items")); });
  }
  return !value.is_number() || Within(value.to_number<double>(), schema, "minimum", "maximum");
}

TEST(RandomSchemas, EveryTextFits) {
  int n_ended = 0;
  int n_all = 0;
  for (unsigned seed = 0; seed < 150; ++seed) {
    const json::value schema = SchemaMaker(seed).Any(3);
    const std::string shown = json::serialize(schema);
    const auto source = SchemaGrammar(schema);
    ASSERT_TRUE(source.has_value()) << shown << source.error().ToString();
    std::mt19937 rng(seed + 1);
    for (int i = 0; i < 3; ++i, ++n_all) {
      const auto constraint = StartOf(*source);
      ASSERT_NE(constraint, nullptr);
      const Walk walk = RandomWalk(*constraint, rng);
      if (!walk.ended) continue;
      ++n_ended;
      EXPECT_EQ(ReplaceInvalidUtf8(walk.text), walk.text);
      // A name that no property declares may come twice: the last one counts, as everywhere.
      boost::system::error_code ec;
      json::value value = json::parse(walk.text, ec);
      ASSERT_FALSE(ec) << shown << "\ngave " << walk.text;
      EXPECT_TRUE(Fits(value, schema)) << shown << "\ngave " << walk.text;
    }
  }
  EXPECT_GT(n_ended, n_all * 9 / 10) << "of " << n_all;
}

}  // namespace
}  // namespace quern::grammar
