#include "upstream/chunk.h"

#include <gtest/gtest.h>

#include "base/utf8.h"

namespace quern::upstream {
namespace {

constexpr int kVocab = 100;

TEST(Chunk, ReadsTextIdsAndTheEnd) {
  const auto chunk = ReadChunk(
      R"({"id":"x","choices":[{"index":0,"text":"ab","token_ids":[1,99],"finish_reason":"stop","logprobs":null}],)"
      R"("usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}})",
      kVocab);
  ASSERT_TRUE(chunk.has_value()) << chunk.error().message();
  EXPECT_EQ(chunk->text, "ab");
  EXPECT_EQ(chunk->token_ids.value(), (std::vector<TokenId>{1, 99}));
  EXPECT_EQ(chunk->finish_reason, "stop");
  ASSERT_TRUE(chunk->usage.has_value());
  EXPECT_EQ(chunk->usage->n_prompt, 7);
  EXPECT_EQ(chunk->usage->n_cached, 5);
  EXPECT_EQ(chunk->usage->n_generated, 2);
}

TEST(Chunk, AUsageChunkHasNoChoice) {
  const auto chunk = ReadChunk(R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}})", kVocab);
  ASSERT_TRUE(chunk.has_value());
  EXPECT_TRUE(chunk->usage.has_value());
  EXPECT_FALSE(chunk->token_ids.has_value());
}

TEST(Chunk, ReadsLogprobs) {
  const auto chunk = ReadChunk(R"({"choices":[{"text":"a","logprobs":{"tokens":["a","b"],"token_logprobs":[-0.5,null],)"
                               R"("top_logprobs":[{"a":-0.5,"c":-2}, null]}}]})",
                               kVocab);
  ASSERT_TRUE(chunk.has_value());
  ASSERT_EQ(chunk->logprobs.size(), 2U);
  EXPECT_FLOAT_EQ(chunk->logprobs[0].logprob, -0.5F);
  EXPECT_EQ(chunk->logprobs[0].top.size(), 2U);
  EXPECT_FLOAT_EQ(chunk->logprobs[1].logprob, -9999.0F);
}

TEST(Chunk, AnErrorOfTheUpstreamIsUnavailable) {
  for (const char* text : {R"({"error":{"message":"out of memory"}})", R"({"error":"out of memory"})",
                           R"({"object":"error","message":"out of memory"})"}) {
    const auto chunk = ReadChunk(text, kVocab);
    ASSERT_FALSE(chunk.has_value()) << text;
    EXPECT_EQ(chunk.error().code(), Code::kUnavailable);
    EXPECT_NE(chunk.error().message().find("out of memory"), std::string::npos);
  }
}

TEST(Chunk, MayRepeatALongPrompt) {
  constexpr size_t kPrompt = 1'000'000;
  std::string text = R"({"choices":[{"text":"a","token_ids":[1],"prompt_token_ids":[)";
  for (size_t i = 0; i < kPrompt; ++i) text += "12345,";
  text += "1]}]}";
  EXPECT_TRUE(ReadChunk(text, kVocab, kPrompt + 1).has_value());
  EXPECT_EQ(ReadChunk(text, kVocab).error().code(), Code::kExhausted);
}

TEST(Chunk, RefusesWhatIsNotOfTheProtocol) {
  for (const char* text :
       {"", "[", "[]", "1", "{}", R"({"choices":{}})", R"({"choices":[1]})", R"({"choices":[{"token_ids":[100]}]})",
        R"({"choices":[{"token_ids":[-1]}]})", R"({"choices":[{"token_ids":[1.5]}]})",
        R"({"choices":[{"token_ids":["1"]}]})", R"({"choices":[{},{}]})"}) {
    EXPECT_FALSE(ReadChunk(text, kVocab).has_value()) << text;
  }
}

TEST(ErrorText, IsFitToShow) {
  EXPECT_EQ(ErrorText(R"({"error":{"message":"no\nsuch\u0007model"}})", "-"), "no such model");
  EXPECT_EQ(ErrorText(R"({"detail":"Not Found"})", "-"), "Not Found");
  EXPECT_EQ(ErrorText("<html>", "-"), "-");
  const std::string shown = ErrorText("{\"message\":\"" + std::string(299, 'a') + "\xC3\xBC\xC3\xBC\"}", "-");
  EXPECT_LE(shown.size(), 303U);
  EXPECT_TRUE(IsValidUtf8(shown));
}

}  // namespace
}  // namespace quern::upstream
