#include "upstream/token_assembler.h"

#include <gtest/gtest.h>

#include "engine/fake_tokenizer.h"

namespace quern::upstream {
namespace {

using engine::FakeTokenizer;
using engine::FinishReason;
using engine::TokenEvent;

class Assembly {
 public:
  explicit Assembly(TokenExchange exchange, Wanted wanted = {.n_prompt = 9, .n_max = 10, .stop_tokens = {256, 257}})
      : wanted_(std::move(wanted)), assembler_(wanted_, exchange, *tokenizer_, text_tokens_) {}

  Result<void> Push(const Chunk& chunk) { return assembler_.Push(chunk, tokens); }
  Result<engine::FinishedEvent> Finish() { return assembler_.Finish(tokens); }

  std::string text() const {
    std::vector<TokenId> ids;
    for (const TokenEvent& token : tokens) ids.push_back(token.token);
    return tokenizer_->DecodeBytes(ids, false);
  }

  std::vector<TokenEvent> tokens;

 private:
  std::shared_ptr<const FakeTokenizer> tokenizer_ = std::make_shared<FakeTokenizer>();
  TextTokens text_tokens_{tokenizer_};
  Wanted wanted_;
  TokenAssembler assembler_;
};

Chunk Ids(std::string text, std::vector<TokenId> ids, std::string finish_reason = "") {
  Chunk chunk;
  chunk.text = std::move(text);
  chunk.token_ids = std::move(ids);
  chunk.finish_reason = std::move(finish_reason);
  return chunk;
}

Chunk Text(std::string text, std::string finish_reason = "") {
  Chunk chunk;
  chunk.text = std::move(text);
  chunk.finish_reason = std::move(finish_reason);
  return chunk;
}

TEST(TokenAssembler, CountsTheIdsAndTheirStopToken) {
  Assembly assembly(TokenExchange::kTokens);
  ASSERT_TRUE(assembly.Push(Ids("h", {'h'})).has_value());
  ASSERT_TRUE(assembly.Push(Ids("i", {'i', 256}, "stop")).has_value());
  Chunk usage;
  usage.usage = ChunkUsage{.n_prompt = 9, .n_cached = 99, .n_generated = 12345};
  ASSERT_TRUE(assembly.Push(usage).has_value());
  const auto finished = assembly.Finish();
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(assembly.text(), "hi<|im_end|>");
  EXPECT_EQ(assembly.tokens.back().n_generated, 3);
  EXPECT_EQ(finished->reason, FinishReason::kStopToken);
  EXPECT_EQ(finished->n_generated, 3) << "what came counts, not what is claimed";
  EXPECT_EQ(finished->n_cached, 9);
}

TEST(TokenAssembler, AddsTheStopTokenThatTheUpstreamKeptBack) {
  Assembly assembly(TokenExchange::kTokens);
  ASSERT_TRUE(assembly.Push(Ids("h", {'h'}, "stop")).has_value());
  const auto finished = assembly.Finish();
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(assembly.text(), "h<|im_end|>");
  EXPECT_EQ(finished->n_generated, 2);
}

TEST(TokenAssembler, EndsByLength) {
  Assembly assembly(TokenExchange::kTokens, {.n_max = 2, .stop_tokens = {256}});
  ASSERT_TRUE(assembly.Push(Ids("hi", {'h', 'i'}, "length")).has_value());
  const auto finished = assembly.Finish();
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->reason, FinishReason::kLength);
  EXPECT_EQ(finished->n_generated, 2);
}

TEST(TokenAssembler, RefusesMoreTokensThanWereAskedFor) {
  Assembly assembly(TokenExchange::kTokens, {.n_max = 2, .stop_tokens = {256}});
  EXPECT_FALSE(assembly.Push(Ids("hij", {'h', 'i', 'j'})).has_value());
}

TEST(TokenAssembler, AnAnswerThatBreaksOffIsAnError) {
  for (const char* reason : {"", "abort", "content_filter"}) {
    Assembly assembly(TokenExchange::kTokens);
    ASSERT_TRUE(assembly.Push(Ids("h", {'h'}, reason)).has_value());
    EXPECT_FALSE(assembly.Finish().has_value()) << reason;
    EXPECT_EQ(assembly.text(), "h");
  }
}

TEST(TokenAssembler, WaitsForLogprobsThatComeLater) {
  Assembly assembly(TokenExchange::kTokens, {.n_max = 10, .n_logprobs = 1, .stop_tokens = {256}});
  ASSERT_TRUE(assembly.Push(Ids("", {'h', 'i'})).has_value());
  EXPECT_TRUE(assembly.tokens.empty());
  Chunk late = Ids("hi", {});
  late.logprobs = {{-0.5F, {{"h", -0.5F}, {"x", -0.25F}}}, {-1.0F, {}}};
  ASSERT_TRUE(assembly.Push(late).has_value());
  ASSERT_EQ(assembly.tokens.size(), 2U);
  EXPECT_FLOAT_EQ(assembly.tokens[0].logprob, -0.5F);
  ASSERT_EQ(assembly.tokens[0].top.size(), 1U);
  EXPECT_EQ(assembly.tokens[0].top[0].token, 'x');
  EXPECT_FLOAT_EQ(assembly.tokens[1].logprob, -1.0F);
}

TEST(TokenAssembler, TellsAnotherVocabularyByTheText) {
  Assembly assembly(TokenExchange::kTokens);
  const auto pushed = assembly.Push(Ids("def", {'a', 'b', 'c'}));
  ASSERT_FALSE(pushed.has_value());
  EXPECT_EQ(pushed.error().code(), Code::kUnsupported);
}

TEST(TokenAssembler, AnUpstreamWithoutIdsIsNamedAsSuch) {
  Assembly assembly(TokenExchange::kTokens);
  const auto pushed = assembly.Push(Text("hi"));
  ASSERT_FALSE(pushed.has_value());
  EXPECT_NE(pushed.error().message().find("exchange = \"text\""), std::string::npos);
}

TEST(TokenAssembler, TextKeepsItsBytesAndItsCountIsTheUpstreams) {
  Assembly assembly(TokenExchange::kText, {.n_prompt = 9, .n_max = 100, .stop_tokens = {256}});
  ASSERT_TRUE(assembly.Push(Text("gr\xC3\xBC<|im_end|>")).has_value());
  Chunk end = Text("n", "stop");
  end.usage = ChunkUsage{.n_prompt = 9, .n_generated = 4};
  ASSERT_TRUE(assembly.Push(end).has_value());
  const auto finished = assembly.Finish();
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(assembly.text(), "gr\xC3\xBC<|im_end|>n<|im_end|>");
  EXPECT_EQ(finished->n_generated, 4);
}

TEST(TokenAssembler, RefusesTextWithoutEnd) {
  Assembly assembly(TokenExchange::kText, {.n_max = 1, .stop_tokens = {256}});
  Result<void> pushed;
  for (int i = 0; i < 1000 && pushed; ++i) pushed = assembly.Push(Text("0123456789"));
  EXPECT_FALSE(pushed.has_value());
}

}  // namespace
}  // namespace quern::upstream
