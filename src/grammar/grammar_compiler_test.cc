#include "grammar/grammar_compiler.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "grammar/lark_text.h"
#include "grammar/test_walk.h"

namespace quern::grammar {
namespace {

std::string ErrorOf(const GrammarSource& source, GrammarCompiler& compiler) {
  const auto compiled = compiler.Compile(source);
  return compiled ? "" : compiled.error().ToString();
}

TEST(GrammarCompiler, AllowsExactlyWhatFits) {
  EXPECT_TRUE(Accepts({GrammarKind::kRegex, "[0-9]{4}-[0-9]{2}"}, "2026-11"));
  EXPECT_FALSE(Accepts({GrammarKind::kRegex, "[0-9]{4}-[0-9]{2}"}, "2026-1"));
  EXPECT_FALSE(Accepts({GrammarKind::kRegex, "[0-9]{4}-[0-9]{2}"}, "2026-111"));
  EXPECT_TRUE(Accepts({GrammarKind::kRegex, "a/b"}, "a/b"));
  EXPECT_TRUE(Accepts({GrammarKind::kLark, "start: \"(\" start \")\" | \"x\"\n"}, "((x))"));
  EXPECT_FALSE(Accepts({GrammarKind::kLark, "start: \"(\" start \")\" | \"x\"\n"}, "((x)"));
}

TEST(GrammarCompiler, ChoicesAreLiteral) {
  const std::vector<std::string> choices = {"yes", "no\n/\"\\", "\x7f(.*)", "käse 🧀", "yes!"};
  for (const auto& choice : choices) EXPECT_TRUE(Accepts(ChoiceGrammar(choices), choice)) << choice;
  EXPECT_FALSE(Accepts(ChoiceGrammar(choices), "ye"));
  EXPECT_FALSE(Accepts(ChoiceGrammar(choices), "\x7f(aa)"));
}

TEST(LarkText, RegexTextMatchesItself) {
  for (const std::string text : {"a.b*c", "/x\\y/", "[(\n)]{2}", "größe €", "\"'#-&~"}) {
    EXPECT_TRUE(Accepts({GrammarKind::kLark, "start: /" + LarkRegexText(text) + "/\n"}, text)) << text;
    EXPECT_FALSE(Accepts({GrammarKind::kLark, "start: /" + LarkRegexText(text) + "/\n"}, text + "x"));
  }
  EXPECT_TRUE(Accepts({GrammarKind::kLark, "start: " + LarkRegex("a/b\\/c") + "\n"}, "a/b/c"));
}

TEST(GrammarCompiler, ControlTokensAreNoText) {
  const auto constraint = StartOf({GrammarKind::kRegex, "(?s:.*)"});
  auto mask = EmptyMask();
  ASSERT_TRUE(constraint->ComputeMask(mask).value());
  const auto tokenizer = DemoTokenizer();
  int n_control = 0;
  for (const auto& token : tokenizer->added_tokens()) {
    const bool control = token.text.starts_with("<|");
    n_control += control ? 1 : 0;
    EXPECT_EQ(Has(mask, token.id), !control) << token.text;
  }
  EXPECT_GT(n_control, 3);
  EXPECT_TRUE(Has(mask, tokenizer->Encode("x")[0]));
}

// Neither by name, nor by number, nor among others.
TEST(GrammarCompiler, AGrammarCannotAskForControlTokens) {
  const int32_t control = DemoTokenizer()->AddedTokenId("<|im_start|>");
  ASSERT_GE(control, 0);
  for (const std::string& token : {std::string("<|im_start|>"), fmt::format("<[{}]>", control)}) {
    const std::string only = fmt::format("start: {}\n", token);
    EXPECT_NE(ErrorOf({GrammarKind::kLark, only}, *DemoCompiler()).find("accepts no text"), std::string::npos) << token;
  }
  for (const std::string& token : {fmt::format("(\"x\" | <[{}]>)", control), std::string("<[*]>")}) {
    const auto constraint = StartOf({GrammarKind::kLark, fmt::format("start: {}\n", token)});
    auto mask = EmptyMask();
    ASSERT_TRUE(constraint->ComputeMask(mask));
    EXPECT_TRUE(Has(mask, DemoTokenizer()->Encode("x")[0]));
    EXPECT_FALSE(Has(mask, control)) << token;
    EXPECT_FALSE(constraint->Accept(control)) << token;
  }
}

TEST(GrammarCompiler, ACompleteTextAllowsNothing) {
  const auto constraint = StartOf({GrammarKind::kRegex, "ab"});
  auto mask = EmptyMask();
  for (const int32_t id : DemoTokenizer()->Encode("ab")) {
    EXPECT_FALSE(constraint->ComputeMask(mask).value());
    ASSERT_TRUE(constraint->Accept(id));
  }
  EXPECT_TRUE(constraint->ComputeMask(mask).value());
  EXPECT_EQ(mask, EmptyMask());
}

TEST(GrammarCompiler, AMaskMayBeLongerOrShorterThanTheVocabulary) {
  const auto constraint = StartOf({GrammarKind::kRegex, ".*"});
  std::vector<uint32_t> padded(EmptyMask().size() + 7, ~0U);
  ASSERT_TRUE(constraint->ComputeMask(padded));
  for (size_t i = EmptyMask().size(); i < padded.size(); ++i) EXPECT_EQ(padded[i], 0U);
  std::vector<uint32_t> little(2);
  ASSERT_TRUE(constraint->ComputeMask(little));
  EXPECT_EQ(little[0], padded[0]);
}

TEST(TokenConstraint, StaysBrokenOnceBroken) {
  const auto constraint = StartOf({GrammarKind::kRegex, "a"});
  auto mask = EmptyMask();
  const int32_t wrong = DemoTokenizer()->Encode("b")[0];
  EXPECT_FALSE(constraint->Accept(wrong));
  EXPECT_FALSE(constraint->ComputeMask(mask));
  EXPECT_FALSE(constraint->Accept(DemoTokenizer()->Encode("a")[0]));
  EXPECT_FALSE(StartOf({GrammarKind::kRegex, "a"})->Accept(-1));
}

TEST(GrammarCompiler, BadGrammarsAreSentences) {
  const auto compiler = DemoCompiler();
  EXPECT_NE(ErrorOf({GrammarKind::kLark, "start: ("}, *compiler).find("invalid_argument"), std::string::npos);
  EXPECT_NE(ErrorOf({GrammarKind::kLark, "begin: \"a\""}, *compiler).find("no start rule"), std::string::npos);
  EXPECT_NE(ErrorOf({GrammarKind::kRegex, "a(?=b)"}, *compiler).find("look"), std::string::npos);
  EXPECT_NE(ErrorOf({GrammarKind::kJsonSchema, "{"}, *compiler), "");
}

TEST(GrammarCompiler, LimitsAreNamed) {
  const auto small = GrammarCompiler::Create(DemoTokenizer(), {.max_source_bytes = 10});
  EXPECT_NE(ErrorOf({GrammarKind::kRegex, "aaaaaaaaaaaaaaaa"}, *small).find("max_source_bytes"), std::string::npos);
  const auto poor = GrammarCompiler::Create(DemoTokenizer(), {.compile_fuel = 200});
  EXPECT_NE(ErrorOf({GrammarKind::kRegex, "([a-z]+[0-9]+|x[^y]*y){3,50}x"}, *poor).find("exhausted"), std::string::npos)
      << ErrorOf({GrammarKind::kRegex, "([a-z]+[0-9]+|x[^y]*y){3,50}x"}, *poor);
  const auto narrow = GrammarCompiler::Create(DemoTokenizer(), {.max_symbols = 20});
  std::string lark = "start: a0\n";
  for (int i = 0; i < 50; ++i) lark += fmt::format("a{}: \"x\" a{} \"y\" | \"z\"\n", i, i + 1);
  EXPECT_NE(ErrorOf({GrammarKind::kLark, lark + "a50: \"w\"\n"}, *narrow), "");
  EXPECT_EQ(ErrorOf({GrammarKind::kRegex, "ab"}, *narrow), "");
}

TEST(GrammarCompiler, AGrammarThatAcceptsNothingIsRefused) {
  EXPECT_NE(
      ErrorOf({GrammarKind::kJsonSchema, R"({"$defs":{"a":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})"}, *DemoCompiler())
          .find("accepts no text"),
      std::string::npos);
}

// A grammar that costs too much at some token ends in an error, and stays there.
TEST(TokenConstraint, WorkForOneMaskIsBounded) {
  const auto poor = GrammarCompiler::Create(DemoTokenizer(), {.mask_fuel = 30, .mask_items = 10});
  const auto compiled = poor->Compile({GrammarKind::kLark, "start: (\"a\" | /[a-z]+x/ | start)+\n"});
  if (!compiled) return;  // refused even sooner
  const auto constraint = (*compiled)->Start().value();
  auto mask = EmptyMask();
  std::string error;
  for (int i = 0; i < 50 && error.empty(); ++i) {
    const auto computed = constraint->ComputeMask(mask);
    if (!computed) error = computed.error().ToString();
    if (computed) {
      EXPECT_TRUE(constraint->Accept(DemoTokenizer()->Encode("a")[0]));
    }
  }
  EXPECT_NE(error, "");
  EXPECT_FALSE(constraint->ComputeMask(mask));
}

TEST(GrammarCompiler, KeepsWhatItCompiled) {
  const auto compiler = GrammarCompiler::Create(DemoTokenizer(), {.max_cached = 2});
  const auto compile = [&](const char* regex) { return compiler->Compile({GrammarKind::kRegex, regex}).value(); };
  const auto a = compile("a");
  const auto b = compile("b");
  EXPECT_EQ(compile("a"), a);
  compile("c");  // drops b, which was used least recently
  EXPECT_EQ(compile("a"), a);
  EXPECT_NE(compile("b"), b);
}

TEST(Grammar, GoesOnAfterAPrefix) {
  const auto grammar = DemoCompiler()->Compile({GrammarKind::kRegex, "abc(def)?"}).value();
  const auto rest = grammar->After(DemoTokenizer()->Encode("ab"));
  ASSERT_TRUE(rest.has_value());
  const auto constraint = (*rest)->Start().value();
  auto mask = EmptyMask();
  EXPECT_FALSE(constraint->ComputeMask(mask).value());
  EXPECT_TRUE(Has(mask, DemoTokenizer()->Encode("c")[0]));
  EXPECT_FALSE(Has(mask, DemoTokenizer()->Encode("a")[0]));
  EXPECT_EQ(grammar->After(DemoTokenizer()->Encode("x")).error().code(), Code::kInvalidArgument);
  EXPECT_TRUE(Accepts({GrammarKind::kRegex, "abc(def)?"}, "abcdef")) << "the grammar itself has not moved";
}

TEST(GrammarCompiler, ManyThreadsGetIndependentConstraints) {
  const auto compiler = GrammarCompiler::Create(DemoTokenizer());
  const std::string text = "{\"a\":[1,2,3]}";
  std::vector<std::thread> threads;
  std::atomic<int> n_right = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        const auto compiled = compiler->Compile({GrammarKind::kJsonSchema, R"({"type":"object"})"});
        const auto constraint = (*compiled)->Start().value();
        auto mask = EmptyMask();
        bool fits = true;
        for (const int32_t id : DemoTokenizer()->Encode(text)) {
          fits = fits && constraint->ComputeMask(mask).has_value() && Has(mask, id) && constraint->Accept(id);
        }
        n_right += fits && constraint->ComputeMask(mask).value_or(false) ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(n_right, 80);
}

}  // namespace
}  // namespace quern::grammar
