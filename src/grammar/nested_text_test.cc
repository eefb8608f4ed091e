#include "grammar/nested_text.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "grammar/test_walk.h"

namespace quern::grammar {
namespace {

constexpr std::string_view kOpener = "<t>\n<in>\n";
constexpr std::string_view kCloser = "\n</in>";
// Any number of texts, with a number between each two.
constexpr const char* kOuter =
    "start: text (/[0-9]{1,3}/ text)* \".\"\n"
    "text: \"<t>\\n<in>\\n\" body\n"
    "body[lazy]: BODY \"\\n</in>\"\n"
    "BODY: /(?s:.*)/ & ~/(?s:.*)<\\/(in|out)>(?s:.*)/\n";

struct Case {
  std::string lark;
  std::string end = "";  // what its texts must end with
};

// Grammars that may go on with what ends them, that must end with it, and that have nothing to do with it.
const std::vector<Case> kCases = {
    {R"(start: /(.|\n)+/)"},
    {R"(start: /[\s\S]+/)"},
    {R"(start: /[^<]*/)"},
    {R"(start: /[a-z\n<>\/]*/)"},
    {R"(start: /[a-z]*/)"},
    {R"(start: /[^\n]+/)"},
    {"start: line+\nline: /[a-z();]+/ LF\n%import common.LF", "\n"},
    {"start: line* \".\" LF?\nline: /[a-z;<]+/ LF\n%import common.LF", "\n."},
    {R"(start: ("a" | "\n" | "b;")+)"},
    {R"(start: "{" start "}" | "x;" | "\n")"},
    {R"(start: /[ab]/ | /[ab]\n<\/[ab]{2}/)"},
};

NestedText TextOf(const std::string& lark) {
  return {.name = "t", .opener = std::string(kOpener), .closer = std::string(kCloser), .lark = lark};
}

std::shared_ptr<const Grammar> Nested(const std::string& lark) {
  const std::vector<NestedText> texts = {TextOf(lark)};
  const auto compiled = CompileNested(*DemoCompiler(), {GrammarKind::kLark, kOuter}, texts);
  EXPECT_TRUE(compiled.has_value()) << compiled.error().ToString();
  return compiled.value_or(nullptr);
}

std::vector<int32_t> Encode(std::string_view text) {
  return DemoTokenizer()->Encode(text, {.added = tokenizer::AddedTokens::kMatch});
}

bool Takes(const Grammar& grammar, const std::vector<int32_t>& tokens) {
  const auto constraint = grammar.Start().value();
  auto mask = EmptyMask();
  for (const int32_t id : tokens) {
    if (!constraint->ComputeMask(mask).has_value() || !Has(mask, id) || !constraint->Accept(id)) return false;
  }
  return constraint->ComputeMask(mask).value_or(false);
}

// As one text between the marks; its own tokens begin with it.
std::vector<int32_t> Framed(std::string_view text) {
  std::vector<int32_t> tokens = Encode(kOpener);
  const auto rest = Encode(std::string(text) + std::string(kCloser));
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  tokens.push_back(Encode(".")[0]);
  return tokens;
}

std::vector<std::string> TextsOf(std::string_view whole) {
  std::vector<std::string> texts;
  for (size_t at = 0; (at = whole.find(kOpener, at)) != std::string_view::npos;) {
    at += kOpener.size();
    const size_t end = whole.find(kCloser, at);
    texts.emplace_back(whole.substr(at, end - at));
    at = end;
  }
  return texts;
}

TEST(NestedText, EveryTextThatIsWrittenFits) {
  std::mt19937 rng(7);
  for (const auto& [lark, end] : kCases) {
    const auto grammar = Nested(lark);
    ASSERT_NE(grammar, nullptr) << lark;
    int n_texts = 0;
    for (int i = 0; i < 40; ++i) {
      const Walk walk = RandomWalk(*grammar->Start().value(), rng, end + "\n</in>.", 30, 500);
      if (!walk.ended) continue;
      for (const std::string& text : TextsOf(walk.text)) {
        ++n_texts;
        EXPECT_TRUE(Accepts({GrammarKind::kLark, lark}, text)) << lark << "\n" << text;
      }
    }
    EXPECT_GT(n_texts, 30) << lark;
  }
}

TEST(NestedText, EveryTextThatFitsCanBeWritten) {
  std::mt19937 rng(11);
  for (const auto& [lark, end] : kCases) {
    const auto grammar = Nested(lark);
    const auto alone = DemoCompiler()->Compile({GrammarKind::kLark, lark}).value();
    int n_texts = 0;
    for (int i = 0; i < 60; ++i) {
      const Walk walk = RandomWalk(*alone->Start().value(), rng, end, 12, 60);
      if (!walk.ended || walk.text.find("</in>") != std::string::npos) continue;
      ++n_texts;
      EXPECT_TRUE(Takes(*grammar, Framed(walk.text))) << lark << "\n" << walk.text;
    }
    EXPECT_GT(n_texts, 20) << lark;
  }
}

TEST(NestedText, OnlyTheLastLineFeedIsTheClosers) {
  const auto three = Nested(R"(start: "a\n\n")");
  EXPECT_FALSE(Takes(*three, Framed("a")));
  EXPECT_FALSE(Takes(*three, Framed("a\n")));
  EXPECT_TRUE(Takes(*three, Framed("a\n\n")));
  EXPECT_FALSE(Takes(*three, Framed("a\n\n\n")));
  const auto any = Nested(R"(start: /(.|\n)+/)");
  EXPECT_FALSE(Takes(*any, Framed(""))) << "the closer's line feed is not the text's";
  EXPECT_TRUE(Takes(*any, Framed("\n")));
  EXPECT_TRUE(Takes(*any, Framed("a\n</i>\n</inn>")));
}

TEST(NestedText, ATokenMayBeginInTheTextAndEndInTheCloser) {
  const std::vector<int32_t> across = Encode(";\n");
  ASSERT_EQ(across.size(), 1U) << "the vocabulary has this token";
  EXPECT_TRUE(Takes(*Nested(R"(start: "x" ";")"), Framed("x;")));
  EXPECT_FALSE(Takes(*Nested(R"(start: "x" ";" "y")"), Framed("x;")));
}

TEST(NestedText, WithoutCommonTextsTheGenerationEndsWithAnError) {
  const auto grammar = Nested(R"(start: "a</out>b")");
  const auto constraint = grammar->Start().value();
  auto mask = EmptyMask();
  std::string text;
  Result<bool> may_end = false;
  while ((may_end = constraint->ComputeMask(mask)).has_value()) {
    int32_t id = 0;
    while (id < DemoTokenizer()->vocab_size() && !Has(mask, id)) ++id;
    ASSERT_LT(id, DemoTokenizer()->vocab_size());
    text += DemoTokenizer()->TokenBytes(id);
    ASSERT_TRUE(constraint->Accept(id).has_value());
  }
  EXPECT_EQ(may_end.error().code(), Code::kInvalidArgument);
  EXPECT_TRUE(text.ends_with("a</out")) << text;
  EXPECT_FALSE(constraint->Accept(Encode("x")[0])) << "it stays broken";
}

TEST(NestedText, GoesOnBehindABeginning) {
  const auto grammar = Nested(R"(start: "ab" | "xy")");
  const auto rest = grammar->After(Encode(std::string(kOpener) + "a"));
  ASSERT_TRUE(rest.has_value());
  std::mt19937 rng(1);
  EXPECT_TRUE(RandomWalk(*(*rest)->Start().value(), rng, "\n</in>.", 0).text.starts_with("b\n</in>"));
  const auto further = (*rest)->After(Encode("b"));
  ASSERT_TRUE(further.has_value());
  EXPECT_FALSE((*rest)->After(Encode("y")).has_value());
  EXPECT_FALSE(grammar->After(Encode("z")).has_value());
}

TEST(NestedText, AGrammarThatIsWrongIsRefusedByName) {
  const GrammarSource outer{GrammarKind::kLark, kOuter};
  for (const std::string lark : {"start: (", "begin: /x/", "start: /x/\n}\nmore: {", "start: /(?=x)x/"}) {
    const auto compiled = CompileNested(*DemoCompiler(), outer, std::vector{TextOf(lark)});
    ASSERT_FALSE(compiled.has_value()) << lark;
    EXPECT_NE(compiled.error().message().find("'t'"), std::string::npos) << compiled.error().message();
  }
  const std::vector<NestedText> many(kMaxNestedTexts + 1, TextOf("start: /x/"));
  EXPECT_EQ(CompileNested(*DemoCompiler(), outer, many).error().code(), Code::kExhausted);
}

}  // namespace
}  // namespace quern::grammar
