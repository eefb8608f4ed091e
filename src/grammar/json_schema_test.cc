#include "grammar/json_schema.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/json.h"
#include "grammar/test_walk.h"

namespace quern::grammar {
namespace {

namespace json = boost::json;

GrammarSource Of(std::string_view schema, OneOf one_of = OneOf::kExact) {
  const auto source = SchemaGrammar(ParseJson(schema, {.max_depth = 128}).value(), one_of);
  EXPECT_TRUE(source.has_value()) << schema << ": " << source.error().ToString();
  return source.value_or(JsonObjectGrammar());
}

// Refused before or while it is compiled.
std::string ErrorOf(std::string_view schema, const SchemaLimits& limits = {}) {
  const auto source = SchemaGrammar(ParseJson(schema, {.max_depth = 128}).value(), OneOf::kExact, limits);
  if (!source) return source.error().ToString();
  const auto compiled = DemoCompiler()->Compile(*source);
  return compiled ? "" : compiled.error().ToString();
}

struct Case {
  const char* schema;
  std::vector<const char*> good;
  std::vector<const char*> bad;
};

TEST(JsonSchema, EveryKeywordOfTheSpecificationHolds) {
  const Case cases[] = {
      {R"({"type":"integer"})", {"0", "-17"}, {"1.5", "\"1\"", "true", "01"}},
      {R"({"type":["null","string"]})", {"null", "\"x\""}, {"1"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"]})",
       {R"({"a":1})", R"({"a": 1, "b": "x"})", R"({"a":1,"c":[]})", "{\n  \"a\": 1\n}"},
       {R"({})", R"({"b":"x"})", R"({"a":"1"})", R"({"b":"x","a":1})"}},
      {R"({"type":"object","properties":{"a":{}},"additionalProperties":false})",
       {R"({})", R"({"a":[{}]})"},
       {R"({"b":1})"}},
      {R"({"type":"object","additionalProperties":{"type":"integer"}})", {R"({"x":1,"y":2})"}, {R"({"x":"1"})"}},
      {R"({"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":2})",
       {"[true]", "[true, false]"},
       {"[]", "[true,true,true]", "[1]"}},
      {R"({"type":"array","prefixItems":[{"const":"x"},{"type":"integer"}],"items":false,"minItems":2})",
       {R"(["x",3])"},
       {R"(["x"])", R"(["x",3,4])", R"(["y",3])"}},
      {R"({"enum":["on","off",3,null,{"a":[1]}]})", {"\"on\"", "3", "null", R"({"a":[1]})"}, {"\"of\"", "4", "{}"}},
      {R"({"const":"x"})", {"\"x\""}, {"\"y\""}},
      {R"({"anyOf":[{"type":"integer","minimum":10},{"type":"string","maxLength":2}]})",
       {"10", "\"ab\"", "\"\""},
       {"9", "\"abc\""}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
                    {"properties":{"b":{"type":"integer"}},"required":["b"]}]})",
       {R"({"a":1,"b":2})"},
       {R"({"a":1})", R"({"b":1})"}},
      {R"({"$defs":{"t":{"type":"object","properties":{"v":{"type":"integer"},"next":{"$ref":"#/$defs/t"}},
           "required":["v"],"additionalProperties":false}},"$ref":"#/$defs/t"})",
       {R"({"v":1})", R"({"v":1,"next":{"v":2,"next":{"v":3}}})"},
       {R"({"v":1,"next":{}})", R"({"v":1,"next":{"v":"2"}})"}},
      {R"({"type":"string","pattern":"^[a-c]+$"})", {"\"abc\""}, {"\"abd\"", "\"\""}},
      {R"({"type":"string","pattern":"b+"})", {"\"abba\"", "\"b\""}, {"\"aca\""}},
      {R"({"type":"string","format":"date-time"})", {"\"2026-11-21T08:00:00Z\""}, {"\"2026-11-21\"", "\"x\""}},
      {R"({"type":"string","format":"uuid"})", {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123\""}},
      {R"({"type":"string","format":"email"})", {"\"a@b.example\""}, {"\"a\""}},
      {R"({"type":"number","minimum":-1.5,"exclusiveMaximum":3})", {"-1.5", "2.99", "0"}, {"-1.6", "3", "4"}},
      {R"({"type":"string","minLength":2,"maxLength":3})", {"\"äö\"", "\"abc\""}, {"\"a\"", "\"abcd\""}},
      {R"({"type":"integer","multipleOf":5})", {"10", "0"}, {"12"}},
  };
  for (const Case& c : cases) {
    const GrammarSource source = Of(c.schema);
    for (const char* text : c.good) EXPECT_TRUE(Accepts(source, text)) << c.schema << "\nshould take " << text;
    for (const char* text : c.bad) EXPECT_FALSE(Accepts(source, text)) << c.schema << "\nshould not take " << text;
  }
}

TEST(JsonSchema, OneOfIsExactOrRefused) {
  const char* apart = R"({"oneOf":[{"type":"integer"},{"type":"string"}]})";
  EXPECT_TRUE(Accepts(Of(apart), "3"));
  const char* overlap = R"({"oneOf":[{"type":"integer"},{"type":"number","minimum":0}]})";
  EXPECT_NE(ErrorOf(overlap).find("oneOf"), std::string::npos) << ErrorOf(overlap);
  EXPECT_TRUE(Accepts(Of(overlap, OneOf::kAsAnyOf), "3"));
}

TEST(JsonSchema, BlanksAreFew) {
  const GrammarSource source = JsonObjectGrammar();
  EXPECT_TRUE(Accepts(source, "{\"a\": [1, 2]}"));
  EXPECT_TRUE(Accepts(source, "{\n\t\"a\": {}\n}"));
  EXPECT_FALSE(Accepts(source, " {}"));
  EXPECT_FALSE(Accepts(source, "{}\n"));
  EXPECT_FALSE(Accepts(source, "{  }"));
  EXPECT_FALSE(Accepts(source, "{\n\n}"));
  EXPECT_FALSE(Accepts(source, "```json\n{}\n```"));
  EXPECT_FALSE(Accepts(source, "[]"));
}

TEST(JsonSchema, WhatCannotBeEnforcedIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"not":{"type":"string"}})", "'not' at 'not'"},
      {R"({"properties":{"a":{"if":{},"then":{}}}})", "'if' at 'properties.a.if'"},
      {R"({"type":"array","items":{"uniqueItems":true}})", "'uniqueItems' at 'items.uniqueItems'"},
      {R"({"type":"array","contains":{}})", "'contains'"},
      {R"({"propertyNames":{}})", "'propertyNames'"},
      {R"({"dependentRequired":{}})", "'dependentRequired'"},
      {R"({"unevaluatedProperties":false})", "'unevaluatedProperties'"},
      {R"({"$ref":"https://example.com/s.json"})", "'https://example.com/s.json' is outside the schema"},
      {R"({"anyOf":[{"$ref":"other.json#/a"}]})", "'$ref' at 'anyOf[0].$ref'"},
      {R"({"items":[{}]})", "prefixItems"},
      {R"({"minProperties":2})", "'minProperties'"},
      {R"({"const":12345678901234567890})", "2^53"},
      {R"({"properties":{"a":{"$schema":"http://json-schema.org/draft-04/schema#"}}})", "'$schema'"},
      {R"({"type":"string","format":"favourite-colour"})", "format"},
      {R"~({"type":"string","pattern":"a(?!b)"})~", "look"},
      {R"({"type":"strin"})", "strin"},
      {R"({"properties":{"a":3}})", "'properties.a' is an integer, must be a schema"},
      {R"({"properties":[]})", "'properties' is an array"},
      {R"({"anyOf":{}})", "'anyOf' is an object, must be a list"},
      {R"({"required":true})", "'required' must be a list"},
      {R"({"$ref":"#/$defs/missing"})", "missing"},
      {R"("x")", "the schema is a string"},
      {"false", "accepts nothing"},
      {R"({"enum":[]})", ""},
  };
  for (const auto& [schema, words] : cases) {
    const std::string error = ErrorOf(schema);
    EXPECT_NE(error, "") << schema;
    EXPECT_NE(error.find(words), std::string::npos) << schema << ": " << error;
    EXPECT_EQ(error.find("internal"), std::string::npos) << error;
  }
}

TEST(JsonSchema, KeywordsOfOtherDialectsDoNotSwitchOursOff) {
  EXPECT_FALSE(Accepts(Of(R"({"$schema":"http://json-schema.org/draft-04/schema#","const":5})"), "6"));
  EXPECT_TRUE(Accepts(Of(R"({"x-guidance":{"lenient":true},"type":"integer","x-note":1})"), "6"));
  EXPECT_NE(ErrorOf(R"({"x-guidance":{"lenient":true},"not":{}})"), "");
}

TEST(JsonSchema, DepthAndSizeHaveLimits) {
  std::string deep = "{}";
  for (int i = 0; i < 60; ++i) deep = R"({"properties":{"a":)" + deep + "}}";
  EXPECT_NE(ErrorOf(deep, {.max_depth = 50}).find("deeper than 50"), std::string::npos);
  EXPECT_EQ(ErrorOf(deep, {.max_depth = 64}), "");
  EXPECT_NE(ErrorOf(R"({"properties":{"a":{},"b":{},"c":{}}})", {.max_schemas = 3}).find("more than 3"),
            std::string::npos);
}

// Schemas that are meant to be expensive come to an end soon, one way or the other.
TEST(JsonSchema, ExpensiveSchemasEndSoon) {
  std::string wide = R"({"type":"object","properties":{)";
  for (int i = 0; i < 2000; ++i) wide += fmt::format("{}\"key_{}\":{{\"type\":\"string\"}}", i > 0 ? "," : "", i);
  wide += "}}";
  std::string powers = R"({"$defs":{"a0":{"type":"integer"})";
  for (int i = 1; i < 40; ++i)
    powers += fmt::format(R"(,"a{0}":{{"allOf":[{{"$ref":"#/$defs/a{1}"}},{{"$ref":"#/$defs/a{1}"}}]}})", i, i - 1);
  powers += R"(},"$ref":"#/$defs/a39"})";
  for (const std::string& schema :
       {wide, powers, std::string(R"({"type":"string","pattern":"(x+x+)+y{1,900}(a|b|ab){1,900}"})"),
        std::string(R"({"type":"array","minItems":100000,"items":{"type":"string","maxLength":100000}})"),
        std::string(R"({"type":"string","minLength":1000000})"),
        std::string(R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})")}) {
    const auto start = std::chrono::steady_clock::now();
    const std::string error = ErrorOf(schema);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 10) << schema.substr(0, 80);
    RecordProperty("seconds", std::to_string(took.count()));
    std::printf("%5.2f s  %.60s: %.100s\n", took.count(), schema.c_str(), error.c_str());
  }
}

}  // namespace
}  // namespace quern::grammar
