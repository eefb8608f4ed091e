#include "base/json.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

namespace quern {
namespace {

std::string ErrorOf(std::string_view text, const JsonLimits& limits = {}) {
  const auto parsed = ParseJson(text, limits);
  return parsed.has_value() ? "no error" : parsed.error().ToString();
}

TEST(ParseJson, NumbersAreFinite) {
  for (const char* number : {"1e400", "-1e400", "9e0233353", "1e99999"}) {
    const auto read = ParseJson(std::string("[1, ") + number + "]");
    ASSERT_FALSE(read.has_value()) << number;
    EXPECT_EQ(read.error().code(), Code::kCorrupt);
    EXPECT_NE(read.error().message().find("line 1 column"), std::string::npos) << read.error().message();
  }
  EXPECT_FALSE(ParseJson("[" + std::string(400, '9') + "]").has_value());
  EXPECT_EQ(ParseJson("1e-400").value().as_double(), 0.0);
  EXPECT_EQ(ParseJson("1.7976931348623157e308").value().as_double(), 1.7976931348623157e308);
}

TEST(ParseJson, KeepsValuesAndTheirOrder) {
  const auto parsed = ParseJson(R"({"b": [1, -2, 1.5, "x\u00e9\n", null, true], "a": 18446744073709551615})");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_EQ(boost::json::serialize(*parsed),
            "{\"b\":[1,-2,1.5E0,\"x\xC3\xA9\\n\",null,true],\"a\":18446744073709551615}");
}

TEST(ParseJson, RefusesANameTwiceHoweverItIsWritten) {
  EXPECT_EQ(ErrorOf(R"({"a":1,"b":2,"a":3})"), "corrupt: JSON line 1 column 19: name \"a\" stands twice in one object");
  EXPECT_NE(ErrorOf(R"({"x":{"key":1,"\u006bey":2}})").find("\"key\" stands twice"), std::string::npos);
  EXPECT_EQ(ErrorOf(R"({"a":{"a":1},"b":{"a":1}})"), "no error");
}

TEST(ParseJson, SaysWhereTheTextBreaks) {
  EXPECT_NE(ErrorOf("{\"a\": 1,\n  oops}").find("not JSON at line 2 column"), std::string::npos);
  EXPECT_NE(ErrorOf("{} x").find("not JSON at line 1"), std::string::npos);
  EXPECT_NE(ErrorOf("").find("not JSON"), std::string::npos);
  EXPECT_NE(ErrorOf("\"\xFF\"").find("not JSON"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({ \ud83d })").find("not JSON at line 1 column 3"), std::string::npos);
  EXPECT_NE(ErrorOf(R"(["\ud83d\ude00" x])").find("not JSON at line 1 column 17"), std::string::npos);
}

TEST(ParseJson, SaysWhichEscapeLacksItsOtherHalf) {
  EXPECT_EQ(
      ErrorOf(R"({"a": "\ud83d\ude00",
 "b": "x\ud83dy"})"),
      "corrupt: JSON line 2 column 9 (byte offset 30): the escape \\ud83d is half of a surrogate pair and the other "
      "half does not stand beside it; send both, or the character itself");
  // After anything, before anything, in names and in values.
  for (const std::string lone : {R"(\uD800)", R"(\udbff)", R"(\udc00)", R"(\uDFFF)"}) {
    for (const std::string before :
         {"", "x", R"(\ud83d\ude00)", R"(\\)", R"(\\ud83d)", R"(\u0041)", R"(\u0000)", R"(\n)"}) {
      for (const char* after : {"", "x", R"(\u0041)", R"(\n)", R"(\ud83d\ude00)", R"(\\)"}) {
        for (const std::string start : {R"({"a": ")", R"({")"}) {
          const std::string text = start + before + lone + after + (start == R"({")" ? "\": 1}" : "\"}");
          const std::string expected =
              fmt::format("(byte offset {}): the escape {} is", start.size() + before.size(), lone);
          EXPECT_NE(ErrorOf(text).find(expected), std::string::npos) << text << " gives " << ErrorOf(text);
        }
      }
    }
  }
}

TEST(ParseJson, ReadsEveryDigitOfANumber) {
  for (const double x : {1.7459810459810065e-18, 0.1, 5e-324, 1.7976931348623157e308, -123456.78901234567}) {
    EXPECT_EQ(ParseJson(fmt::format("[{}]", x)).value().at(0).as_double(), x);
  }
  EXPECT_EQ(ParseJson("[1.0,1e2]").value().at(1).as_double(), 100.0);
}

TEST(ParseJson, HoldsItsLimits) {
  EXPECT_EQ(ErrorOf("[1,2,3]", {.max_values = 4}), "no error");
  EXPECT_NE(ErrorOf("[1,2,3]", {.max_values = 3}).find("limit of 3 values"), std::string::npos);
  EXPECT_EQ(ErrorOf("[[[]]]", {.max_depth = 3}), "no error");
  EXPECT_NE(ErrorOf("[[[]]]", {.max_depth = 2}).find("limit of 2"), std::string::npos);
  EXPECT_NE(ErrorOf("[1]", {.max_bytes = 2}).find("limit of 2"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(100000, '['), {}).find("deeper"), std::string::npos);
}

}  // namespace
}  // namespace quern
