#include "grammar/gbnf.h"

#include <gtest/gtest.h>

#include "grammar/test_walk.h"

namespace quern::grammar {
namespace {

GrammarSource Of(std::string_view gbnf) {
  const auto lark = LarkOfGbnf(gbnf);
  EXPECT_TRUE(lark.has_value()) << lark.error().ToString();
  return {GrammarKind::kLark, lark.value_or("")};
}

std::string ErrorOf(std::string_view gbnf) {
  const auto lark = LarkOfGbnf(gbnf);
  return lark ? "" : lark.error().ToString();
}

constexpr const char* kJson = R"gbnf(
# any JSON object
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (
             string ":" ws value
             ("," ws string ":" ws value)*
           )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ws
ws     ::= | " " | "\n" [ \t]{0,20}
)gbnf";

TEST(Gbnf, RecursiveRules) {
  const auto source = Of(kJson);
  for (const char* good : {"{}", R"({"a": [1, -2.5, {"b": "x \"y\" ü\n"}], "c": null})", "{\n  \"a\": true\n}"})
    EXPECT_TRUE(Accepts(source, good)) << good;
  EXPECT_TRUE(Accepts(source, R"({"ü":"\u00e9 \\"})"));
  for (const char* bad : {"[]", "{", R"({"a"})", R"({"a": 01})", R"({"a": tru})"}) EXPECT_FALSE(Accepts(source, bad));
}

TEST(Gbnf, RegularRules) {
  const auto dates = Of("root ::= year \"-\" [0-9]{2} (\"-\" [0-9]{2})?\nyear ::= [12] [0-9]{3}\n");
  EXPECT_TRUE(Accepts(dates, "2026-11"));
  EXPECT_TRUE(Accepts(dates, "1999-12-31"));
  EXPECT_FALSE(Accepts(dates, "3000-01"));
  const auto lines = Of("root ::= (\"- \" [^\\n]+ \"\\n\")+");
  EXPECT_TRUE(Accepts(lines, "- one\n- two\n"));
  EXPECT_FALSE(Accepts(lines, "- one\ntwo\n"));
  const auto odd = Of("root ::= \"a/b\" .{1,2} [\\]\\-x-z] \"\\u00e9\" [à-é]*");
  EXPECT_TRUE(Accepts(odd, "a/b\n]éàé"));
  EXPECT_TRUE(Accepts(odd, "a/b..-é"));
  EXPECT_FALSE(Accepts(odd, "a/b..wé"));
}

TEST(Gbnf, AlternativesGoOnBehindTheBar) {
  const auto source = Of("root ::= \"a\" |\n  \"b\" | # and\n  \"c\"\nunused ::= \"d\"");
  for (const char* good : {"a", "b", "c"}) EXPECT_TRUE(Accepts(source, good));
  EXPECT_FALSE(Accepts(source, "d"));
}

TEST(Gbnf, ErrorsHaveTheirLine) {
  EXPECT_NE(ErrorOf("root ::= \"a\nb\"\nroot").find("line 3"), std::string::npos) << ErrorOf("root ::= \"a\nb\"\nroot");
  EXPECT_NE(ErrorOf("root ::= other").find("'other' is not defined"), std::string::npos);
  EXPECT_NE(ErrorOf("start ::= \"a\"").find("no rule 'root'"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= (\"a\"").find("')' is expected"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= \"a").find("not closed"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= \"\\q\"").find("escape"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= [z-a]").find("backwards"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= []").find("empty"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= \"a\"{5,2}").find("repetition"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= \"a\"{99999}").find("above"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= <think>").find("unsupported"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= \"a\"\nroot ::= \"b\"").find("twice"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= \"\xff\"").find("UTF-8"), std::string::npos);
  EXPECT_NE(ErrorOf("root ::= " + std::string(500, '(')).find("deeper"), std::string::npos);
  EXPECT_NE(ErrorOf(""), "");
}

}  // namespace
}  // namespace quern::grammar
