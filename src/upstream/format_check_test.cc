#include "upstream/format_check.h"

#include <gtest/gtest.h>

#include "engine/fake_tokenizer.h"
#include "grammar/grammar_compiler.h"
#include "grammar/json_schema.h"

namespace quern::upstream {
namespace {

using engine::FakeTokenizer;
using grammar::GrammarKind;
using grammar::GrammarSource;

class FormatCheckTest : public ::testing::Test {
 protected:
  // Where the answer, and a stop token behind it, stops to fit: a place in it, its length for the end, -1 for nowhere.
  int FirstMisfit(const GrammarSource& source, std::string_view answer) {
    const auto grammar = compiler_->Compile(source);
    EXPECT_TRUE(grammar) << grammar.error().ToString();
    const auto check = FormatCheck::Create(**grammar, {FakeTokenizer::kImEnd}, *tokenizer_, text_tokens_).value();
    for (size_t i = 0; i < answer.size(); ++i) {
      const auto taken = check->Take(static_cast<unsigned char>(answer[i]));
      if (taken) continue;
      EXPECT_EQ(taken.error().code(), Code::kUnavailable);
      EXPECT_FALSE(check->Take('x'));  // and nothing fits behind it
      return static_cast<int>(i);
    }
    return check->Take(FakeTokenizer::kImEnd) ? -1 : static_cast<int>(answer.size());
  }

  std::shared_ptr<const FakeTokenizer> tokenizer_ = std::make_shared<FakeTokenizer>();
  TextTokens text_tokens_{tokenizer_};
  std::shared_ptr<grammar::GrammarCompiler> compiler_ = grammar::GrammarCompiler::Create(tokenizer_);
};

TEST_F(FormatCheckTest, HoldsToARegex) {
  const GrammarSource digits{GrammarKind::kRegex, "[0-9]{3}"};
  EXPECT_EQ(FirstMisfit(digits, "123"), -1);
  EXPECT_EQ(FirstMisfit(digits, "12"), 2);
  EXPECT_EQ(FirstMisfit(digits, "12x"), 2);
  EXPECT_EQ(FirstMisfit(digits, " 123"), 0);
  EXPECT_EQ(FirstMisfit(digits, "1234"), 3);
}

TEST_F(FormatCheckTest, TakesAnyBlanksBetweenThePartsOfJson) {
  const boost::json::value schema = {{"type", "object"},
                                     {"properties", {{"a", {{"type", "integer"}}}, {"b", {{"const", "x  y"}}}}},
                                     {"required", {"a", "b"}},
                                     {"additionalProperties", false}};
  const GrammarSource source = grammar::SchemaGrammar(schema).value();
  EXPECT_EQ(FirstMisfit(source, R"({"a":12,"b":"x  y"})"), -1);
  EXPECT_EQ(FirstMisfit(source, "\n {\n\n\t\t\"a\" \r\n: 12  ,\n\n \"b\":   \"x  y\"  }\n\n"), -1);
  EXPECT_EQ(FirstMisfit(source, R"({"a":1 2,"b":"x  y"})"), 7);    // no two numbers in one
  EXPECT_EQ(FirstMisfit(source, R"({"a":12,"b":"x y"})"), 15);     // blanks in a string are its own
  EXPECT_EQ(FirstMisfit(source, R"({"a":12,"b":"x  y"} {)"), 20);  // something behind it
  EXPECT_EQ(FirstMisfit(source, R"({"a":12)"), 7);
  EXPECT_EQ(FirstMisfit(source, "I think: {"), 0);
}

TEST_F(FormatCheckTest, KnowsWhereAStringEnds) {
  const GrammarSource any = grammar::JsonObjectGrammar();
  EXPECT_EQ(FirstMisfit(any, R"({"a\\":  [ "\"  \\",   "  " ]  })"), -1);
  EXPECT_EQ(FirstMisfit(any, R"({"a\":  1})"), 10);  // still in its first string
}

TEST_F(FormatCheckTest, ControlTokensAreNoText) {
  const auto grammar = compiler_->Compile({GrammarKind::kRegex, "(?s:.*)"}).value();
  const auto check = FormatCheck::Create(*grammar, {FakeTokenizer::kImEnd}, *tokenizer_, text_tokens_).value();
  EXPECT_TRUE(check->Take('a'));
  EXPECT_FALSE(check->Take(FakeTokenizer::kEndOfText));
}

}  // namespace
}  // namespace quern::upstream
