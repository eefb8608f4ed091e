// Text completions and filling in through the service, the scripted backend behind it.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/test_sink.h"

namespace quern::api {
namespace {

namespace json = boost::json;

constexpr std::string_view kScript = R"({"context_length":1000,"rules":[
  {"match":"<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>","text":"MIDDLE"},
  {"match":"<|fim_prefix|>def f<|fim_suffix|><|fim_middle|>","text":"ONLY<|file_sep|>never"},
  {"match":"<|fim_prefix|>","text":""},
  {"match":"def","text":" f(x):\n  return 1"},
  {"match":"<|endoftext|>","text":"from nothing"},
  {"match":"fault","text":"abcdef","fault":{"kind":"error","at":3,"message":"boom"}},
  {"match":"endless","text":"xyz","finish":"length"},
  {"match":"é","text":"ü!"},
  {"text":"two stops ab"}]})";

class Completions : public testing::Test {
 protected:
  std::shared_ptr<TestSink> Send(std::string_view fields, const char* path = "/v1/completions") const {
    return served_.Post(path, R"({"model":"demo",)" + std::string(fields) + "}");
  }
  std::string Text(std::string_view fields) const {
    const auto sink = Send(fields);
    EXPECT_EQ(sink->status, 200) << sink->body;
    if (sink->status != 200) return {};
    return std::string(sink->Json().at("choices").at(0).at("text").as_string());
  }
  std::string Streamed(std::string_view fields) const {
    std::string text;
    for (const json::value& frame : Send(std::string(fields) + R"(,"stream":true)")->Frames()) {
      if (frame.is_object()) text += frame.at("choices").at(0).at("text").as_string();
    }
    return text;
  }

  ScriptedService served_{kScript};
};

TEST_F(Completions, AWholeAnswer) {
  const json::value answer = Send(R"("prompt":"def","max_tokens":100)")->Json();
  EXPECT_EQ(answer.at("object"), "text_completion");
  EXPECT_EQ(answer.at("choices").at(0).at("text"), " f(x):\n  return 1");
  EXPECT_EQ(answer.at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), 3);
  EXPECT_EQ(Streamed(R"("prompt":"def","max_tokens":100)"), " f(x):\n  return 1");
}

TEST_F(Completions, SixteenTokensUnlessAsked) {
  const json::value answer = Send(R"("prompt":"endless")")->Json();
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 16);
  EXPECT_EQ(answer.at("choices").at(0).at("finish_reason"), "length");
}

TEST_F(Completions, EveryFormOfFillingIn) {
  for (const char* fields :
       {R"("prompt":"a","suffix":"b")", R"("prompt":"<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>")",
        R"("prompt":"<|fim_prefix|>a<|fim_suffix|>b")",
        R"("prompt":"<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>","suffix":"ignored")",
        R"("prompt":"<|repo_name|>r\n<|file_sep|>p\n<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>")"}) {
    EXPECT_EQ(Text(fields), "MIDDLE") << fields;
    EXPECT_EQ(Streamed(fields), "MIDDLE") << fields;
  }
  EXPECT_EQ(Text(R"("prompt":"<|fim_prefix|>def f<|fim_suffix|>")"), "ONLY") << "the next file's token ends it";
  EXPECT_EQ(Text(R"("prompt":"x","suffix":"y")"), "") << "nothing between is an answer";
  EXPECT_EQ(Text(R"("prompt":"def","suffix":"","max_tokens":2)"), " f") << "an empty suffix is none";
}

TEST_F(Completions, TheChatShapedRoute) {
  const json::value answer = Send(R"("prompt":"a","suffix":"b")", "/v1/fim/completions")->Json();
  EXPECT_EQ(answer.at("object"), "chat.completion");
  EXPECT_EQ(answer.at("choices").at(0).at("message").at("content"), "MIDDLE");
  const auto frames = Send(R"("prompt":"a","suffix":"b","stream":true)", "/v1/fim/completions")->Frames();
  std::string text;
  for (const json::value& frame : frames) {
    if (!frame.is_object()) continue;
    const json::object& delta = frame.at("choices").at(0).at("delta").as_object();
    if (delta.contains("content")) text += delta.at("content").as_string();
  }
  EXPECT_EQ(text, "MIDDLE");
}

TEST_F(Completions, PromptsAsIdsAndBatches) {
  EXPECT_EQ(Text(R"("prompt":[100,101,102],"max_tokens":2)"), " f");
  const json::value answer = Send(R"("prompt":["def","é"],"n":2,"max_tokens":3)")->Json();
  const json::array& choices = answer.at("choices").as_array();
  ASSERT_EQ(choices.size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(choices[i].at("index"), i);
    EXPECT_EQ(choices[i].at("text"), i < 2 ? " f(" : "ü!");
  }
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), 5);
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 12);
  EXPECT_EQ(Send(R"("prompt":[[100,101,102],[101]],"max_tokens":1)")->Json().at("choices").as_array().size(), 2U);
}

TEST_F(Completions, AnEmptyPromptBeginsFromNothing) {
  EXPECT_EQ(Text(R"("prompt":"")"), "from nothing");
  EXPECT_EQ(Text(R"("prompt":null)"), "from nothing");
  const json::value echoed = Send(R"("prompt":"","echo":true,"logprobs":1)")->Json();
  EXPECT_EQ(echoed.at("choices").at(0).at("text"), "from nothing") << "the stand-in is not echoed";
}

TEST_F(Completions, EchoScoresAText) {
  const json::value answer =
      Send(R"("prompt":"é","echo":true,"logprobs":2,"max_tokens":0,"return_token_ids":true)")->Json();
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("text"), "é");
  EXPECT_EQ(choice.at("finish_reason"), "length");
  EXPECT_EQ(choice.at("prompt_token_ids"), (json::array{0xC3, 0xA9}));
  const json::value& logprobs = choice.at("logprobs");
  EXPECT_EQ(logprobs.at("tokens").as_array().size(), 2U);
  EXPECT_TRUE(logprobs.at("token_logprobs").at(0).is_null());
  EXPECT_TRUE(logprobs.at("token_logprobs").at(1).is_double());
  EXPECT_TRUE(logprobs.at("top_logprobs").at(0).is_null());
  EXPECT_EQ(logprobs.at("text_offset").at(0), 0);
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 0);
}

TEST_F(Completions, EchoThenText) {
  const json::value answer = Send(R"("prompt":"é","echo":true,"logprobs":0)")->Json();
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("text"), "éü!");
  EXPECT_EQ(choice.at("logprobs").at("text_offset"), (json::array{0, 0, 1, 1, 2}))
      << "a token begins in the character that its first byte belongs to";
  EXPECT_EQ(Streamed(R"("prompt":"é","echo":true,"logprobs":0)"), "éü!");
  EXPECT_EQ(Streamed(R"("prompt":"é","echo":true)"), "éü!");
}

TEST_F(Completions, StopsAndLogprobsOfWhatIsShown) {
  const json::value answer = Send(R"("prompt":"x","stop":["stops"],"logprobs":1)")->Json();
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("text"), "two ");
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_EQ(choice.at("logprobs").at("tokens").as_array().size(), 4U);
  EXPECT_EQ(Streamed(R"("prompt":"x","stop":["stops"])"), "two ");
}

TEST_F(Completions, BestOfAnswersTheBest) {
  const json::value answer = Send(R"("prompt":"def","n":1,"best_of":3,"max_tokens":2)")->Json();
  EXPECT_EQ(answer.at("choices").as_array().size(), 1U);
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 6) << "all that were made are counted";
}

TEST_F(Completions, AFailureKeepsWhatWasSaid) {
  EXPECT_EQ(Send(R"("prompt":"fault")")->status, 500);
  const auto frames = Send(R"("prompt":"fault","stream":true)")->Frames();
  ASSERT_GE(frames.size(), 3U);
  EXPECT_EQ(frames.back(), "[DONE]");
  EXPECT_EQ(frames[frames.size() - 2].at("error").at("message"), "boom");
  std::string text;
  for (size_t i = 0; i + 2 < frames.size(); ++i) text += frames[i].at("choices").at(0).at("text").as_string();
  EXPECT_EQ(text, "abc");
}

TEST_F(Completions, BadRequestsNameTheField) {
  const std::pair<const char*, const char*> rows[] = {
      {R"("prompt":5)", "prompt"},
      {R"("prompt":[])", "prompt"},
      {R"("prompt":{})", "prompt"},
      {R"("prompt":["a",5])", "prompt[1]"},
      {R"("prompt":[5,"a"])", "prompt[1]"},
      {R"("prompt":[5,-1])", "prompt[1]"},
      {R"("prompt":[[1],[99999]])", "prompt[1][0]"},
      {R"("prompt":"x","suffix":5)", "suffix"},
      {R"("prompt":"x","suffix":"y","echo":true)", "echo"},
      {R"("prompt":"x","logprobs":21)", "logprobs"},
      {R"("prompt":"x","logprobs":true)", "logprobs"},
      {R"("prompt":"x","n":2,"best_of":1)", "best_of"},
      {R"("prompt":"x","best_of":2,"stream":true)", "best_of"},
      {R"("prompt":["x","y"],"n":100)", "prompt"},
  };
  for (const auto& [fields, param] : rows) {
    const auto sink = Send(fields);
    EXPECT_EQ(sink->status, 400) << fields;
    ASSERT_TRUE(sink->Json().as_object().contains("error")) << fields << sink->body;
    if (std::string_view(param) != "prompt") {
      EXPECT_EQ(sink->Json().at("error").at("param"), param) << sink->body;
    }
  }
  const auto full = Send(R"("prompt":")" + std::string(1200, 'x') + '"');
  EXPECT_EQ(full->Json().at("error").at("code"), "context_length_exceeded");
}

}  // namespace
}  // namespace quern::api
