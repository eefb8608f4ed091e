// Chat requests through the service, the scripted backend behind it: bytes in, bytes out.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/test_sink.h"

namespace quern::api {
namespace {

namespace json = boost::json;

constexpr const char* kChat = "/v1/chat/completions";

std::string Ask(std::string_view text, std::string_view more = "") {
  return R"({"model":"demo","messages":[{"role":"user","content":)" + json::serialize(json::value(text)) + "}]" +
         std::string(more.empty() ? "" : ",") + std::string(more) + "}";
}

constexpr std::string_view kTools =
    R"("tools":[{"type":"function","function":{"name":"write_file","parameters":{"type":"object","properties":{
       "path":{"type":"string"},"content":{"type":"string"},"n":{"type":"integer"}}}}}])";

constexpr std::string_view kScript = R"({"context_length":8192,"rules":[
  {"match":"hello","text":"Hi! 你好 🙂"},
  {"match":"call it","text":"Yes.\n<tool_call>\n<function=write_file>\n<parameter=path>\na.py\n</parameter>\n<parameter=n>\n3\n</parameter>\n</function>\n</tool_call>"},
  {"match":"call twice","text":"<tool_call>\n<function=write_file>\n<parameter=path>\n1\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=write_file>\n<parameter=path>\n2\n</parameter>\n</function>\n</tool_call>"},
  {"match":"cut it","text":"<tool_call>\n<function=write_file>\n<parameter=content>\nabcdefghij"},
  {"match":"fault","text":"abcdef","fault":{"kind":"error","at":3,"message":"boom"}},
  {"match":"refuse","fault":{"kind":"refuse","message":"queue full"}},
  {"match":"hang","text":"abc","fault":{"kind":"hang","at":2}},
  {"match":"long","text":"0123456789","finish":"length"},
  {"match":"stopping","text":"one two END three"},
  {"match":"broken","tokens":[240,159,65]},
  {"text":"?"}]})";

class Chat : public testing::Test {
 protected:
  std::shared_ptr<TestSink> Send(const std::string& body, const char* path = kChat) const {
    return served_.Post(path, body);
  }
  static const json::value& First(const json::value& answer) { return answer.at("choices").at(0); }

  ScriptedService served_{kScript};
};

// What a client that joins the chunks ends up with, in the shape of a whole answer's choices.
struct Joined {
  std::string content;
  std::string name;
  std::string id;
  std::vector<std::string> arguments;
  std::string finish;
  int n_roles = 0;
};

Joined Join(const TestSink& sink) {
  Joined joined;
  const auto frames = sink.Frames();
  EXPECT_FALSE(frames.empty());
  EXPECT_EQ(frames.back(), "[DONE]");
  for (size_t i = 0; i + 1 < frames.size(); ++i) {
    if (frames[i].at("choices").as_array().empty()) continue;
    const json::value& choice = frames[i].at("choices").at(0);
    EXPECT_TRUE(joined.finish.empty()) << "a chunk after the last one";
    const json::object& delta = choice.at("delta").as_object();
    joined.n_roles += delta.contains("role") ? 1 : 0;
    if (delta.contains("content")) joined.content += delta.at("content").as_string();
    if (delta.contains("tool_calls")) {
      const json::value& call = delta.at("tool_calls").at(0);
      const auto index = static_cast<size_t>(call.at("index").to_number<int>());
      if (call.as_object().contains("id")) {
        EXPECT_EQ(index, joined.arguments.size());
        joined.arguments.emplace_back();
        joined.id = call.at("id").as_string();
        joined.name += call.at("function").at("name").as_string();
      }
      joined.arguments.at(index) += call.at("function").at("arguments").as_string();
    }
    if (!choice.at("finish_reason").is_null()) joined.finish = choice.at("finish_reason").as_string();
  }
  return joined;
}

TEST_F(Chat, AWholeAnswer) {
  const auto sink = Send(Ask("hello"));
  EXPECT_EQ(sink->status, 200);
  EXPECT_EQ(sink->n_answers, 1);
  EXPECT_EQ(sink->Find("content-type"), "application/json");
  EXPECT_FALSE(sink->Find("x-request-id").empty());
  const json::value answer = sink->Json();
  EXPECT_EQ(answer.at("object"), "chat.completion");
  EXPECT_EQ(answer.at("model"), "demo");
  EXPECT_EQ(First(answer).at("message").at("content"), "Hi! 你好 🙂");
  EXPECT_EQ(First(answer).at("finish_reason"), "stop");
  EXPECT_FALSE(First(answer).at("message").as_object().contains("tool_calls"));
  EXPECT_TRUE(First(answer).at("logprobs").is_null());
  const json::value& usage = answer.at("usage");
  EXPECT_EQ(usage.at("completion_tokens"), 16) << "15 bytes and the stop token";
  EXPECT_EQ(usage.at("total_tokens").as_int64(),
            usage.at("prompt_tokens").as_int64() + usage.at("completion_tokens").as_int64());
}

TEST_F(Chat, WhatIsTakenWithoutEffectHasNone) {
  const std::string body = R"({"model":"demo","messages":[{"role":"user","content":"long"}])";
  const json::value plain = Send(body + "}")->Json();
  for (const char* more :
       {R"("prediction":{"type":"content","content":"0123456789"})",
        R"("prediction":{"type":"content","content":[{"type":"text","text":"other"}]},"n":1)",
        R"("service_tier":"flex","reasoning_effort":"high","verbosity":"low","safety_identifier":"a","user":"b")",
        R"("modalities":["text"],"enable_search":false,"enable_thinking":false,"nobody_knows_this":1)"}) {
    const json::value answer = Send(body + "," + more + "}")->Json();
    EXPECT_EQ(answer.at("choices"), plain.at("choices")) << more;
    EXPECT_EQ(answer.at("usage"), plain.at("usage")) << more;
    EXPECT_EQ(answer.at("usage").at("completion_tokens_details").at("accepted_prediction_tokens"), 0);
    EXPECT_EQ(answer.at("service_tier"), "default");
  }
}

TEST_F(Chat, AStreamSaysTheSame) {
  const auto sink = Send(Ask("hello", R"("stream":true,"stream_options":{"include_usage":true})"));
  EXPECT_TRUE(sink->streamed);
  EXPECT_EQ(sink->Find("content-type"), "text/event-stream; charset=utf-8");
  const Joined joined = Join(*sink);
  EXPECT_EQ(joined.content, "Hi! 你好 🙂");
  EXPECT_EQ(joined.finish, "stop");
  EXPECT_EQ(joined.n_roles, 1);
  const auto frames = sink->Frames();
  const json::value& last = frames[frames.size() - 2];
  EXPECT_TRUE(last.at("choices").as_array().empty());
  EXPECT_EQ(last.at("usage").at("completion_tokens"), 16);
  for (size_t i = 0; i + 2 < frames.size(); ++i) {
    EXPECT_TRUE(frames[i].at("usage").is_null());
    EXPECT_EQ(frames[i].at("id"), last.at("id"));
    EXPECT_EQ(frames[i].at("created"), last.at("created"));
  }
}

TEST_F(Chat, UsageIsNotInAStreamUnlessAsked) {
  const auto frames = Send(Ask("hello", R"("stream":true)"))->Frames();
  for (size_t i = 0; i + 1 < frames.size(); ++i) EXPECT_FALSE(frames[i].as_object().contains("usage"));
}

TEST_F(Chat, AToolCallWholeAndStreamed) {
  const json::value answer = Send(Ask("call it", kTools))->Json();
  const json::value& message = First(answer).at("message");
  EXPECT_EQ(message.at("content"), "Yes.\n");
  const json::value& call = message.at("tool_calls").at(0);
  EXPECT_EQ(call.at("function").at("name"), "write_file");
  EXPECT_EQ(json::parse(call.at("function").at("arguments").as_string()), json::parse(R"({"path":"a.py","n":3})"));
  EXPECT_EQ(First(answer).at("finish_reason"), "tool_calls");
  const Joined joined = Join(*Send(Ask("call it", std::string(kTools) + R"(,"stream":true)")));
  EXPECT_EQ(joined.content, "Yes.\n");
  EXPECT_EQ(joined.name, "write_file");
  EXPECT_TRUE(joined.id.starts_with("call_"));
  EXPECT_EQ(joined.arguments, std::vector<std::string>{std::string(call.at("function").at("arguments").as_string())});
  EXPECT_EQ(joined.finish, "tool_calls");
}

TEST_F(Chat, OneCallOrSeveral) {
  const auto calls = [&](const char* path, std::string_view more) {
    const json::value answer = Send(Ask("call twice", std::string(kTools) + std::string(more)), path)->Json();
    EXPECT_EQ(First(answer).at("finish_reason"), "tool_calls");
    return First(answer).at("message").at("tool_calls").as_array().size();
  };
  EXPECT_EQ(calls(kChat, ""), 2U);
  EXPECT_EQ(calls("/compatible-mode/v1/chat/completions", ""), 1U) << "the default there";
  EXPECT_EQ(calls("/compatible-mode/v1/chat/completions", R"(,"parallel_tool_calls":true)"), 2U);
  EXPECT_EQ(calls(kChat, R"(,"parallel_tool_calls":false)"), 1U);
  EXPECT_EQ(Join(*Send(Ask("call twice", std::string(kTools) + R"(,"stream":true)"))).arguments,
            (std::vector<std::string>{R"({"path": "1"})", R"({"path": "2"})"}));
}

TEST_F(Chat, ACallWithoutTextHasNoContent) {
  const std::string body = Ask("call twice", kTools);
  EXPECT_TRUE(First(Send(body)->Json()).at("message").at("content").is_null());
  EXPECT_EQ(First(Send(body, "/compatible-mode/v1/chat/completions")->Json()).at("message").at("content"), "");
}

TEST_F(Chat, ACutCallIsValidJsonAndALengthStop) {
  for (const char* more : {R"(,"max_tokens":60)", ""}) {
    const json::value answer = Send(Ask("cut it", std::string(kTools) + more))->Json();
    EXPECT_EQ(First(answer).at("finish_reason"), "length");
    const json::value& call = First(answer).at("message").at("tool_calls").at(0);
    EXPECT_TRUE(json::parse(call.at("function").at("arguments").as_string()).is_object());
  }
}

TEST_F(Chat, LegacyFunctions) {
  const std::string functions = R"("functions":[{"name":"write_file","parameters":{"type":"object"}}])";
  const json::value answer = Send(Ask("call it", functions))->Json();
  EXPECT_EQ(First(answer).at("finish_reason"), "function_call");
  EXPECT_EQ(First(answer).at("message").at("function_call").at("name"), "write_file");
}

TEST_F(Chat, WithoutToolsACallIsText) {
  const json::value answer = Send(Ask("call it"))->Json();
  EXPECT_FALSE(First(answer).at("message").as_object().contains("tool_calls"));
  EXPECT_NE(First(answer).at("message").at("content").as_string().find("<function=write_file>"), std::string::npos);
}

TEST_F(Chat, StopStringsEndTheTextAndTheGeneration) {
  for (const char* more : {R"("stop":"END")", R"("stop":["x","END"],"stream":true)"}) {
    const auto sink = Send(Ask("stopping", more));
    const std::string text =
        sink->streamed ? Join(*sink).content : std::string(First(sink->Json()).at("message").at("content").as_string());
    EXPECT_EQ(text, "one two ");
    if (sink->streamed) {
      EXPECT_EQ(Join(*sink).finish, "stop");
    }
  }
}

TEST_F(Chat, MaxTokensIsALengthStop) {
  const json::value answer = Send(Ask("long", R"("max_tokens":7)"))->Json();
  EXPECT_EQ(First(answer).at("message").at("content"), "0123456");
  EXPECT_EQ(First(answer).at("finish_reason"), "length");
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 7);
}

TEST_F(Chat, BytesThatAreNoTextBecomeReplacementCharacters) {
  EXPECT_EQ(First(Send(Ask("broken"))->Json()).at("message").at("content"),
            "\xEF\xBF\xBD"
            "A");
}

TEST_F(Chat, SeveralChoicesAreInterleavedAndEachEndsOnce) {
  const auto sink = Send(Ask("hello", R"("n":3,"stream":true)"));
  std::vector<std::string> text(3);
  std::vector<int> ends(3);
  std::vector<int> roles(3);
  const auto frames = sink->Frames();
  for (size_t i = 0; i + 1 < frames.size(); ++i) {
    const json::value& choice = frames[i].at("choices").at(0);
    const auto index = static_cast<size_t>(choice.at("index").as_int64());
    EXPECT_EQ(ends[index], 0);
    const json::object& delta = choice.at("delta").as_object();
    if (delta.contains("content")) text[index] += delta.at("content").as_string();
    roles[index] += delta.contains("role") ? 1 : 0;
    ends[index] += choice.at("finish_reason").is_null() ? 0 : 1;
  }
  EXPECT_EQ(text, std::vector<std::string>(3, "Hi! 你好 🙂"));
  EXPECT_EQ(ends, std::vector<int>(3, 1));
  EXPECT_EQ(roles, std::vector<int>(3, 1));
}

TEST_F(Chat, Logprobs) {
  const json::value answer = Send(Ask("long", R"("max_tokens":3,"logprobs":true,"top_logprobs":2)"))->Json();
  const json::array& content = First(answer).at("logprobs").at("content").as_array();
  ASSERT_EQ(content.size(), 3U);
  EXPECT_EQ(content[1].at("token"), "1");
  EXPECT_EQ(content[1].at("bytes"), json::array{'1'});
  EXPECT_EQ(content[1].at("top_logprobs").as_array().size(), 2U);
}

TEST_F(Chat, TokenIdsOnRequest) {
  const json::value answer = Send(Ask("long", R"("max_tokens":3,"return_token_ids":true)"))->Json();
  EXPECT_EQ(First(answer).at("token_ids"), (json::array{'0', '1', '2'}));
  EXPECT_EQ(static_cast<int64_t>(First(answer).at("prompt_token_ids").as_array().size()),
            answer.at("usage").at("prompt_tokens").as_int64());
}

TEST_F(Chat, AFailureBeforeTheAnswerHasItsStatus) {
  const auto whole = Send(Ask("fault"));
  EXPECT_EQ(whole->status, 500);
  EXPECT_EQ(whole->Json().at("error").at("message"), "boom");
  for (const char* more : {"", R"("stream":true)"}) {
    const auto busy = Send(Ask("refuse", more));
    EXPECT_EQ(busy->status, 503);
    EXPECT_FALSE(busy->streamed);
    EXPECT_EQ(busy->Find("retry-after"), "1");
    EXPECT_EQ(busy->Json().at("error").at("code"), "overloaded");
  }
}

TEST_F(Chat, AFailureInAStreamIsAFrameAndNoFinish) {
  const auto sink = Send(Ask("fault", R"("stream":true)"));
  EXPECT_EQ(sink->status, 200);
  const auto frames = sink->Frames();
  ASSERT_GE(frames.size(), 3U);
  EXPECT_EQ(frames.back(), "[DONE]");
  EXPECT_EQ(frames[frames.size() - 2].at("error").at("message"), "boom");
  std::string text;
  for (size_t i = 0; i + 2 < frames.size(); ++i) {
    const json::value& choice = frames[i].at("choices").at(0);
    EXPECT_TRUE(choice.at("finish_reason").is_null());
    text += choice.at("delta").at("content").as_string();
  }
  EXPECT_EQ(text, "abc") << "what was said before the failure is not lost";
}

TEST_F(Chat, APeerThatLeavesCancels) {
  for (const char* more : {"", R"("stream":true)"}) {
    const uint64_t before = served_.backend->stats().n_cancelled;
    const auto sink = served_.Begin(kChat, Ask("hang", more));
    sink->Leave();
    while (served_.backend->stats().n_cancelled == before) std::this_thread::yield();
    EXPECT_EQ(served_.service->metrics().n_active(), 0) << "nothing keeps the request";
  }
}

TEST_F(Chat, APeerThatDoesNotReadIsCutOff) {
  ServiceOptions options;
  options.limits.max_unsent_bytes = 2000;
  const ScriptedService served(R"({"context_length":100000,"rules":[{"text":"abcdefgh","finish":"length"}]})", options);
  auto sink = std::make_shared<TestSink>();
  sink->reads_nothing = true;
  served.service->Handle({"POST", kChat, "", {}, Ask("x", R"("stream":true,"max_tokens":50000)")}, sink);
  sink->Run();
  EXPECT_TRUE(sink->aborted);
  EXPECT_EQ(served.service->metrics().n_active(), 0);
}

TEST_F(Chat, SilenceIsFilledWithEmptyDeltas) {
  const auto sink = served_.Begin(kChat, Ask("hang", R"("stream":true)"));
  sink->RunUntil([&] { return sink->body.find("ab") != std::string::npos || sink->pieces.size() > 2; });
  ASSERT_TRUE(sink->FireTimer());
  ASSERT_TRUE(sink->FireTimer()) << "it is armed again";
  const auto frames = sink->Frames();
  EXPECT_EQ(frames.back().at("choices").at(0).at("delta").at("content"), "");
  sink->Leave();
}

TEST_F(Chat, AHalfClosedPeerIsSentAnEmptyDelta) {
  const auto sink = served_.Begin(kChat, Ask("hang", R"("stream":true)"));
  sink->RunUntil([&] { return sink->body.find("ab") != std::string::npos || sink->pieces.size() > 2; });
  const size_t n_pieces = sink->pieces.size();
  ASSERT_TRUE(sink->on_half_closed);
  sink->on_half_closed();
  ASSERT_EQ(sink->pieces.size(), n_pieces + 1);
  EXPECT_EQ(sink->Frames().back().at("choices").at(0).at("delta").at("content"), "");
  sink->Leave();
  sink->on_half_closed();
  EXPECT_EQ(sink->pieces.size(), n_pieces + 1);
}

TEST_F(Chat, BadRequestsNameTheField) {
  const std::pair<std::string, const char*> rows[] = {
      {R"({"model":"demo"})", "messages"},
      {R"({"model":"demo","messages":[]})", "messages"},
      {R"({"model":"demo","messages":[{"role":"robot","content":"x"}]})", "messages[0].role"},
      {R"({"model":"demo","messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"model":"demo","messages":[{"role":"user","content":[{"type":"image_url"}]}]})", "messages[0].content[0]"},
      {R"({"model":"demo","messages":[{"role":"tool","tool_call_id":"x","content":"y"}]})", "messages[0]"},
      {Ask("x", R"("tools":[{"type":"function","function":{"name":"a b"}}])"), "tools[0].function.name"},
      {Ask("x", R"("tool_choice":"required")"), "tool_choice"},
      {Ask("x", R"("top_logprobs":3)"), "top_logprobs"},
      {Ask("x", R"("response_format":{"type":"yaml"})"), "response_format.type"},
      {Ask("x", R"~("guided_regex":"(")~"), "guided_regex"},
      {Ask("x", R"("enable_thinking":true)"), "enable_thinking"},
  };
  for (const auto& [body, param] : rows) {
    const auto sink = Send(body);
    EXPECT_EQ(sink->status, 400) << body;
    EXPECT_EQ(sink->Json().at("error").at("param"), param) << sink->body;
    EXPECT_EQ(sink->n_answers, 1);
  }
}

}  // namespace
}  // namespace quern::api
