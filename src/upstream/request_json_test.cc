#include "upstream/request_json.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/json.h"
#include "engine/fake_tokenizer.h"
#include "grammar/grammar_compiler.h"
#include "grammar/json_schema.h"

namespace quern::upstream {
namespace {

namespace json = boost::json;
using engine::FakeTokenizer;
using engine::GenerateRequest;
using engine::TokenId;

json::object BodyOf(const GenerateRequest& request, TokenExchange exchange) {
  const auto rest = RequestJson(request, 10, exchange, FormatFields::kStructuredOutputs, FakeTokenizer());
  EXPECT_TRUE(rest.has_value()) << rest.error().message();
  const auto body = ParseJson(WithModel("a \"model\"", *rest));
  EXPECT_TRUE(body.has_value()) << body.error().message();
  return body->as_object();
}

GenerateRequest Asking(std::vector<TokenId> prompt) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.stop_tokens = {FakeTokenizer::kImEnd};
  return request;
}

TEST(RequestJson, SendsIdsAndExactlyOurStopTokens) {
  GenerateRequest request = Asking({256, 104, 105});
  request.sampling = {.temperature = 0, .top_k = 20, .min_p = 0.1F, .repetition_penalty = 1.05F, .seed = UINT64_MAX};
  request.sampling.logit_bias = {{5, -100.0F}};
  request.n_logprobs = 2;
  request.min_tokens = 3;
  const json::object body = BodyOf(request, TokenExchange::kTokens);
  EXPECT_EQ(body.at("model"), "a \"model\"");
  EXPECT_EQ(body.at("prompt"), (json::array{256, 104, 105}));
  EXPECT_EQ(body.at("stop_token_ids"), (json::array{256}));
  EXPECT_EQ(body.at("ignore_eos"), true);
  EXPECT_EQ(body.at("return_token_ids"), true);
  EXPECT_EQ(body.at("skip_special_tokens"), false);
  EXPECT_EQ(body.at("max_tokens"), 10);
  EXPECT_EQ(body.at("min_tokens"), 3);
  EXPECT_EQ(body.at("logprobs"), 2);
  EXPECT_EQ(body.at("top_k"), 20);
  EXPECT_EQ(body.at("seed"), 0x7FFFFFFF);
  EXPECT_EQ(body.at("stream"), true);
  EXPECT_FLOAT_EQ(body.at("repetition_penalty").to_number<float>(), 1.05F);
  EXPECT_EQ(body.at("logit_bias").as_object().at("5").to_number<float>(), -100.0F);
  EXPECT_FALSE(body.contains("presence_penalty"));
}

TEST(RequestJson, SendsText) {
  const json::object body = BodyOf(Asking({256, 104, 105}), TokenExchange::kText);
  EXPECT_EQ(body.at("prompt"), "<|im_end|>hi");
  EXPECT_EQ(body.at("stop"), (json::array{"<|im_end|>"}));
  EXPECT_FALSE(body.contains("return_token_ids"));
}

TEST(RequestJson, RefusesTextThatWouldBecomeAControlToken) {
  GenerateRequest request = Asking({});
  for (const char c : std::string_view("<|im_end|>")) request.prompt.push_back(static_cast<unsigned char>(c));
  const auto rest = RequestJson(request, 10, TokenExchange::kText, FormatFields::kNone, FakeTokenizer());
  ASSERT_FALSE(rest.has_value());
  EXPECT_EQ(rest.error().code(), Code::kUnsupported);
  EXPECT_TRUE(RequestJson(request, 10, TokenExchange::kTokens, FormatFields::kNone, FakeTokenizer()).has_value());
}

TEST(RequestJson, AsksForAFormat) {
  using grammar::GrammarKind;
  const auto compiler = grammar::GrammarCompiler::Create(std::make_shared<FakeTokenizer>());
  GenerateRequest request = Asking({1});
  const auto body_with = [&](FormatFields formats) {
    const auto rest = RequestJson(request, 10, TokenExchange::kTokens, formats, FakeTokenizer());
    EXPECT_TRUE(rest.has_value()) << rest.error().message();
    return ParseJson(WithModel("m", *rest))->as_object();
  };
  request.grammar = compiler->Compile(grammar::SchemaGrammar({{"type", "integer"}}).value()).value();
  json::object body = body_with(FormatFields::kStructuredOutputs);
  EXPECT_EQ(body.at("structured_outputs").at("json").at("type"), "integer");
  EXPECT_FALSE(body.contains("ignore_eos"));
  EXPECT_EQ(body.at("stop_token_ids"), (json::array{256}));
  EXPECT_EQ(body_with(FormatFields::kGuided).at("guided_json").at("type"), "integer");
  const auto refused = RequestJson(request, 10, TokenExchange::kTokens, FormatFields::kNone, FakeTokenizer());
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);

  request.grammar = compiler->Compile({GrammarKind::kRegex, "\"[0-9]+"}).value();
  EXPECT_EQ(body_with(FormatFields::kStructuredOutputs).at("structured_outputs"),
            (json::object{{"regex", "\"[0-9]+"}}));
  EXPECT_EQ(body_with(FormatFields::kGuided).at("guided_regex"), "\"[0-9]+");
  request.grammar = compiler->Compile({GrammarKind::kLark, "start: \"a\""}).value();
  EXPECT_EQ(body_with(FormatFields::kGuided).at("guided_grammar"), "start: \"a\"");

  // Of one that is half written no source says the rest.
  request.grammar = compiler->Compile({GrammarKind::kRegex, "abc"}).value()->After(std::vector<TokenId>{'a'}).value();
  EXPECT_FALSE(RequestJson(request, 10, TokenExchange::kTokens, FormatFields::kGuided, FakeTokenizer()).has_value());
}

TEST(RequestJson, RefusesWhatTheProtocolCannotCarry) {
  GenerateRequest scored = Asking({1});
  scored.n_logprobs = 0;
  EXPECT_FALSE(RequestJson(scored, 10, TokenExchange::kText, FormatFields::kNone, FakeTokenizer()).has_value());
  scored.prompt_logprobs = true;
  EXPECT_FALSE(RequestJson(scored, 10, TokenExchange::kTokens, FormatFields::kNone, FakeTokenizer()).has_value());
  GenerateRequest cut = Asking({0xC3});
  EXPECT_FALSE(RequestJson(cut, 10, TokenExchange::kText, FormatFields::kNone, FakeTokenizer()).has_value());
}

}  // namespace
}  // namespace quern::upstream
