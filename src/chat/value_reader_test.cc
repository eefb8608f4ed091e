#include "chat/value_reader.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <string>

#include "chat/literal_reader.h"
#include "chat/value_types.h"

namespace quern::chat {
namespace {

std::string Strict(std::string_view text) {
  const auto value = ReadLiteral(text, LiteralSyntax::kJson);
  return value ? value->json : "none";
}

std::string Lenient(std::string_view text) {
  const auto value = ReadLiteral(text, LiteralSyntax::kLenient);
  return value ? value->json : "none";
}

TEST(LiteralReader, StrictIsJsonAndNothingMore) {
  EXPECT_EQ(Strict(R"( {"a":[1,-0.5e+3,true,null],"b":"\u00e9\ud83d\ude00\/"} )"),
            R"({"a": [1, -0.5e+3, true, null], "b": "é😀/"})");
  for (const char* text : {"", "{", "[1,]", "{'a':1}", "01", "+1", ".5", "1.", "1e", "True", "\"\n\"", "nan", "1e999",
                           "1 2", "\"\\x41\"", "(1,2)", "-"}) {
    EXPECT_EQ(Strict(text), "none") << text;
  }
}

TEST(LiteralReader, LenientReadsPythonAndCommonSlips) {
  EXPECT_EQ(Lenient("{'a': True, 'b': (None, 'it\\'s \\x41'), }"), R"({"a": true, "b": [null, "it's A"]})");
  EXPECT_EQ(Lenient("[1, 2,]"), "[1, 2]");
  EXPECT_EQ(Lenient("\"two\nlines\""), R"("two\nlines")");
  EXPECT_EQ(Lenient("(1,)"), "[1]");
  for (const char* text : {"(1)", "[,]", "{,}", "{1: 2}", "inf", "foo", "'", "[1 2]"}) {
    EXPECT_EQ(Lenient(text), "none") << text;
  }
}

TEST(LiteralReader, NumbersKeepTheirDigitsAndLastOfEqualKeysWins) {
  EXPECT_EQ(Strict("[123456789012345678901234567890, 1.10]"), "[123456789012345678901234567890, 1.10]");
  EXPECT_EQ(Strict(R"({"a":1,"b":2,"a":3})"), R"({"a": 3, "b": 2})");
}

TEST(LiteralReader, DepthIsBounded) {
  EXPECT_NE(Strict(std::string(60, '[') + std::string(60, ']')), "none");
  EXPECT_EQ(Strict(std::string(100'000, '[') + std::string(100'000, ']')), "none");
}

TEST(LiteralReader, HalfASurrogatePairIsNoCharacter) { EXPECT_EQ(Strict(R"("\ud83d!")"), "\"\xEF\xBF\xBD!\""); }

TEST(ValueTypes, RootsMayReferAndBranch) {
  const auto schema = boost::json::parse(R"({
    "$ref": "#/$defs/Root",
    "allOf": [{"properties": {"x~/y": {"$ref": "#/$defs/a~1b"}}}],
    "$defs": {"Root": {"properties": {"n": {"type": "number"}}}, "a/b": {"type": "boolean"}}
  })")
                          .as_object();
  EXPECT_EQ(TypesOfProperty(schema, "n"), kNumberType);
  EXPECT_EQ(TypesOfProperty(schema, "x~/y"), kBooleanType);
  EXPECT_EQ(TypesOfProperty(schema, "unknown"), kStringType);
  EXPECT_TRUE(HasProperty(schema, "n"));
  EXPECT_FALSE(HasProperty(schema, "unknown"));
}

TEST(ValueTypes, EndlessSchemasEnd) {
  const auto loop = boost::json::parse(R"({"$ref": "#", "anyOf": [{"$ref": "#"}, {"$ref": "#"}],
    "properties": {"p": {"anyOf": [{"$ref": "#/properties/p"}, {"$ref": "#/properties/p"}, {"type": "null"}]}}})");
  EXPECT_EQ(TypesOfProperty(loop.as_object(), "p"), kNullType);
  EXPECT_EQ(TypesOfProperty(loop.as_object(), "q"), kStringType);
}

TEST(ValueReader, EveryTextBecomesOneJsonValueForEverySetOfTypes) {
  for (ValueTypes types = 1; types < 256; ++types) {
    for (const char* text :
         {"", " ", "null", "None", "1", "-0", "00", "1.0", "true", "[1]", "{'a': 1}", "x", "\"", "\n"}) {
      const std::string json = ReadValue(text, types);
      EXPECT_NE(Strict(json), "none") << text << " as " << types << " gave " << json;
    }
  }
}

}  // namespace
}  // namespace quern::chat
