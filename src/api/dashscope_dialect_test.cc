// Native DashScope and Segmind requests through the service, the scripted backend behind it.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/query.h"
#include "api/test_sink.h"

namespace quern::api {
namespace {

namespace json = boost::json;

constexpr const char* kGeneration = "/api/v1/services/aigc/text-generation/generation";

constexpr std::string_view kScript = R"({"context_length":8192,"rules":[
  {"match":"hello","text":"Hi! 你好 🙂"},
  {"match":"call it","text":"Yes.\n<tool_call>\n<function=write_file>\n<parameter=path>\na.py\n</parameter>\n</function>\n</tool_call>"},
  {"match":"fault","text":"abcdef","fault":{"kind":"error","at":3,"message":"boom"}},
  {"match":"refuse","fault":{"kind":"refuse","message":"queue full"}},
  {"text":"?"}]})";

constexpr std::string_view kTools =
    R"("tools":[{"type":"function","function":{"name":"write_file","parameters":{"type":"object","properties":{
       "path":{"type":"string"}}}}}])";

std::string Ask(std::string_view text, std::string_view parameters = "") {
  return R"({"model":"demo","input":{"messages":[{"role":"user","content":)" + json::serialize(json::value(text)) +
         "}]},\"parameters\":{" + std::string(parameters) + "}}";
}

struct Frame {
  std::string id;
  std::string event;
  std::string status;  // of a line of its own
  json::value data;
};

// Strictly in the wire's form: no blank behind the colons.
std::vector<Frame> ReadFrames(std::string_view body) {
  std::vector<Frame> frames;
  while (!body.empty()) {
    const size_t end = body.find("\n\n");
    std::string_view block = body.substr(0, end);
    body.remove_prefix(end + 2);
    Frame frame;
    while (!block.empty()) {
      const std::string_view line = block.substr(0, block.find('\n'));
      block.remove_prefix(std::min(line.size() + 1, block.size()));
      if (line.starts_with("id:")) frame.id = line.substr(3);
      if (line.starts_with("event:")) frame.event = line.substr(6);
      if (line.starts_with("status:")) frame.status = line.substr(7);
      if (line.starts_with("data:")) frame.data = json::parse(line.substr(5));
    }
    if (!frame.id.empty()) frames.push_back(std::move(frame));
  }
  return frames;
}

class DashScope : public testing::Test {
 protected:
  std::shared_ptr<TestSink> Send(const std::string& body) const { return served_.Post(kGeneration, body); }
  std::shared_ptr<TestSink> Stream(const std::string& body) const {
    auto sink = served_.Begin(kGeneration, body, "POST", {{"x-dashscope-sse", "enable"}});
    sink->Run();
    return sink;
  }
  static const json::value& Choice(const json::value& answer) { return answer.at("output").at("choices").at(0); }

  ScriptedService served_{kScript};
};

TEST_F(DashScope, TextIsTheDefaultShape) {
  const auto sink = Send(Ask("hello"));
  ASSERT_EQ(sink->status, 200) << sink->body;
  const json::value answer = sink->Json();
  EXPECT_EQ(answer.at("output").at("text"), "Hi! 你好 🙂");
  EXPECT_EQ(answer.at("output").at("finish_reason"), "stop");
  EXPECT_EQ(answer.at("usage").at("output_tokens"), 16);
  EXPECT_EQ(answer.at("usage").at("total_tokens").as_int64(), answer.at("usage").at("input_tokens").as_int64() + 16);
  EXPECT_EQ(answer.at("request_id").as_string(), sink->Find("x-request-id"));
  EXPECT_FALSE(answer.as_object().contains("code"));
}

TEST_F(DashScope, OpenModelsAnswerMessagesUnlessAskedOtherwise) {
  const auto answer = [&](const char* model, const char* parameters) {
    return Send(std::string(R"({"model":")") + model + R"(","input":{"prompt":"hello"},"parameters":)" + parameters +
                "}")
        ->Json()
        .at("output")
        .as_object();
  };
  EXPECT_TRUE(answer("qwen3-coder-next", "{}").contains("choices"));
  EXPECT_TRUE(answer("qwen3-coder-30b-a3b-instruct", "{}").contains("choices"));
  EXPECT_TRUE(answer("qwen3-coder-plus", "{}").contains("text"));
  EXPECT_TRUE(answer("qwen3-coder-next", R"({"result_format":"text"})").contains("text"));
  EXPECT_TRUE(answer("qwen3-coder-plus", R"({"result_format":"message"})").contains("choices"));
}

TEST_F(DashScope, MessagesAndPromptAndHistoryAskTheSame) {
  const std::string prompt = R"({"model":"demo","input":{"prompt":"hello"},"parameters":{"result_format":"message"}})";
  const json::value answer = Send(prompt)->Json();
  EXPECT_EQ(Choice(answer).at("message").at("content"), "Hi! 你好 🙂");
  EXPECT_EQ(Choice(answer).at("message").at("role"), "assistant");
  const auto turns = Send(R"({"model":"demo","input":{"history":[{"user":"a","bot":"b"}],"prompt":"hello"}})")->Json();
  const auto as_messages =
      Send(R"({"model":"demo","input":{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
           {"role":"user","content":"hello"}]}})")
          ->Json();
  EXPECT_EQ(turns.at("usage"), as_messages.at("usage"));
}

TEST_F(DashScope, ToolsForceTheMessageShape) {
  const json::value answer = Send(Ask("call it", kTools))->Json();
  EXPECT_EQ(Choice(answer).at("finish_reason"), "tool_calls");
  const json::value& call = Choice(answer).at("message").at("tool_calls").at(0);
  EXPECT_EQ(call.at("index"), 0);
  EXPECT_EQ(call.at("type"), "function");
  EXPECT_EQ(call.at("function").at("name"), "write_file");
  EXPECT_EQ(call.at("function").at("arguments"), R"({"path": "a.py"})");
}

TEST_F(DashScope, FramesHoldAllSoFarUnlessIncremental) {
  std::string last;
  const auto frames = ReadFrames(Stream(Ask("hello", R"("result_format":"message")"))->body);
  ASSERT_GE(frames.size(), 2U);
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_EQ(frames[i].id, std::to_string(i + 1));
    EXPECT_EQ(frames[i].event, "result");
    const std::string content(Choice(frames[i].data).at("message").at("content").as_string());
    EXPECT_TRUE(content.starts_with(last)) << "frame " << i;
    last = content;
    const bool is_last = i + 1 == frames.size();
    EXPECT_EQ(Choice(frames[i].data).at("finish_reason"), is_last ? "stop" : "null");
    EXPECT_TRUE(frames[i].data.as_object().contains("usage"));
    EXPECT_EQ(frames[i].data.at("request_id"), frames[0].data.at("request_id"));
  }
  EXPECT_EQ(last, "Hi! 你好 🙂");
  EXPECT_EQ(frames.back().data.at("usage").at("output_tokens"), 16);
}

TEST_F(DashScope, IncrementalFramesJoinToTheWhole) {
  std::string joined;
  for (const Frame& frame : ReadFrames(Stream(Ask("hello", R"("incremental_output":true)"))->body)) {
    joined += frame.data.at("output").at("text").as_string();
  }
  EXPECT_EQ(joined, "Hi! 你好 🙂");
}

TEST_F(DashScope, IncrementalToolCallsOpenOnce) {
  const auto frames = ReadFrames(Stream(Ask("call it", std::string(kTools) + R"(,"incremental_output":true)"))->body);
  std::string arguments;
  int n_named = 0;
  for (const Frame& frame : frames) {
    const json::object& message = Choice(frame.data).at("message").as_object();
    EXPECT_TRUE(message.at("content").is_string());
    if (!message.contains("tool_calls")) continue;
    const json::value& call = message.at("tool_calls").at(0);
    n_named += call.at("function").as_object().contains("name") ? 1 : 0;
    EXPECT_EQ(call.at("id").as_string().empty(), !call.at("function").as_object().contains("name"));
    arguments += call.at("function").at("arguments").as_string();
  }
  EXPECT_EQ(n_named, 1);
  EXPECT_EQ(arguments, R"({"path": "a.py"})");
  EXPECT_EQ(Choice(frames.back().data).at("finish_reason"), "tool_calls");
}

TEST_F(DashScope, SeveralChoicesEndWithTheUsageOfAll) {
  const auto frames = ReadFrames(Stream(Ask("hello", R"("n":2,"incremental_output":true)"))->body);
  std::string joined[2];
  for (const Frame& frame : frames) {
    const json::value& choice = Choice(frame.data);
    joined[choice.at("index").as_int64()] += choice.at("message").at("content").as_string();
  }
  EXPECT_EQ(joined[0], "Hi! 你好 🙂");
  EXPECT_EQ(joined[1], joined[0]);
  EXPECT_EQ(frames.back().data.at("usage").at("output_tokens"), 32);
}

TEST_F(DashScope, AStreamIsAskedForInThreeWays) {
  EXPECT_TRUE(Stream(Ask("hello"))->streamed);
  EXPECT_TRUE(Send(Ask("hello", R"("stream":true)"))->streamed);
  auto accepting = served_.Begin(kGeneration, Ask("hello"), "POST", {{"accept", "text/event-stream"}});
  accepting->Run();
  EXPECT_TRUE(accepting->streamed);
  EXPECT_FALSE(Send(Ask("hello", R"("stream":false)"))->streamed);
}

TEST_F(DashScope, ErrorsHaveTheNativeShape) {
  struct Row {
    std::string body;
    int status;
    const char* code;
    const char* words;
  };
  const Row rows[] = {
      {R"({"input":{"prompt":"x"}})", 400, "BadRequest.EmptyModel", "Model is empty"},
      {R"({"model":"demo"})", 400, "BadRequest.EmptyInput", "Input is empty"},
      {R"({"model":"demo","messages":[]})", 400, "InvalidParameter", "cannot both be none"},
      {R"({"model":"demo","input":{}})", 400, "InvalidParameter", "cannot both be none"},
      {R"({"model":"demo","input":[]})", 400, "InvalidParameter", "an object"},
      {R"({"model":"nobody","input":{"prompt":"x"}})", 404, "ModelNotFound", "does not exist"},
      {Ask("x", R"("top_p":0)"), 400, "InvalidParameter", "Range of top_p should be (0.0, 1.0]"},
      {Ask("x", R"("temperature":2)"), 400, "InvalidParameter", "Temperature should be in [0.0, 2.0)"},
      {Ask("x", R"("max_tokens":0)"), 400, "InvalidParameter", "Range of max_tokens should be [1, "},
      {Ask("x", R"("n":5)"), 400, "InvalidParameter", "Range of n should be [1, 4]"},
      {Ask("x", R"("enable_thinking":true)"), 400, "InvalidParameter.NotSupportEnableThinking", "enable_thinking"},
      {Ask("x", R"("result_format":"xml")"), 400, "InvalidParameter", "result_format"},
      {Ask("refuse"), 503, "ModelServingError", "queue full"},
      {"{", 400, "InvalidParameter", "JSON"},
  };
  for (const Row& row : rows) {
    const auto sink = Stream(row.body);
    EXPECT_EQ(sink->status, row.status) << row.body;
    EXPECT_EQ(sink->Find("content-type"), "application/json") << "also when a stream was asked for";
    const json::value error = sink->Json();
    EXPECT_EQ(error.at("code"), row.code) << row.body;
    EXPECT_NE(error.at("message").as_string().find(row.words), std::string::npos) << sink->body;
    EXPECT_FALSE(error.at("request_id").as_string().empty());
  }
  EXPECT_EQ(served_.Get("/api/v1/nowhere")->Json().at("code"), "NotFound");
  EXPECT_EQ(served_.Get(kGeneration)->Json().at("code"), "UnsupportedOperation");
}

TEST_F(DashScope, AnErrorInTheStreamIsAFrame) {
  const auto frames = ReadFrames(Stream(Ask("fault", R"("incremental_output":true)"))->body);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().event, "error");
  EXPECT_EQ(frames.back().status, "500");
  EXPECT_EQ(frames.back().data.at("code"), "InternalError");
  EXPECT_NE(frames.back().data.at("message").as_string().find("boom"), std::string::npos);
}

TEST_F(DashScope, HeadersThatTextGenerationCannotServe) {
  const auto with = [&](const char* name, const char* value) {
    auto sink = served_.Begin(kGeneration, Ask("hello"), "POST", {{name, value}});
    sink->Run();
    return sink;
  };
  EXPECT_EQ(with("x-dashscope-async", "enable")->status, 403);
  EXPECT_EQ(with("x-dashscope-encryptionkey", "k")->status, 400);
  EXPECT_EQ(with("x-dashscope-datainspection", "enable")->status, 200);
  EXPECT_EQ(with("x-dashscope-workspace", "ws-1")->status, 200) << "no workspaces are configured: any name goes";
  ServiceOptions options;
  options.workspaces = {"ws-1"};
  const ScriptedService closed(kScript, options);
  for (const auto& [name, status] : {std::pair{"ws-1", 200}, std::pair{"ws-2", 401}}) {
    auto sink = closed.Begin(kGeneration, Ask("hello"), "POST", {{"x-dashscope-workspace", name}});
    sink->Run();
    EXPECT_EQ(sink->status, status) << name;
    if (status == 401) {
      EXPECT_EQ(sink->Json().at("code"), "NOT AUTHORIZED");
    }
  }
}

TEST_F(DashScope, TheTokenizerCountsWhatGenerationCounts) {
  const auto tokens = served_.Post("/api/v1/tokenizer", Ask("hello"));
  ASSERT_EQ(tokens->status, 200) << tokens->body;
  const json::value counted = tokens->Json();
  const json::value answered = Send(Ask("hello"))->Json();
  EXPECT_EQ(counted.at("usage").at("input_tokens"), answered.at("usage").at("input_tokens"));
  EXPECT_EQ(static_cast<int64_t>(counted.at("output").at("token_ids").as_array().size()),
            counted.at("usage").at("input_tokens").as_int64());
  const json::value plain = served_.Post("/api/v1/tokenizer", R"({"model":"demo","input":{"prompt":"abc"}})")->Json();
  EXPECT_EQ(plain.at("output").at("token_ids"), json::parse("[97,98,99]"));
  EXPECT_EQ(plain.at("output").at("tokens"), json::parse(R"(["a","b","c"])"));
}

TEST_F(DashScope, TasksAndModels) {
  const json::value task = served_.Get("/api/v1/tasks/t-1")->Json();
  EXPECT_EQ(task.at("output").at("task_id"), "t-1");
  EXPECT_EQ(task.at("output").at("task_status"), "UNKNOWN");
  const json::value all = served_.Get("/api/v1/models")->Json();
  EXPECT_GE(all.at("output").at("total").as_int64(), 10);
  EXPECT_EQ(all.at("output").at("models").as_array().size(), 10U);
  auto sink = std::make_shared<TestSink>();
  served_.service->Handle({"GET", "/api/v1/models", "model=demo&page_size=2", {}, ""}, sink);
  EXPECT_EQ(sink->Json().at("output").at("total"), 1);
  auto bad = std::make_shared<TestSink>();
  served_.service->Handle({"GET", "/api/v1/models", "page_size=0", {}, ""}, bad);
  EXPECT_EQ(bad->status, 400);
}

TEST_F(DashScope, APingKeepsAStreamAlive) {
  const ScriptedService hanging(R"({"rules":[{"fault":{"kind":"hang"}}]})");
  auto sink = hanging.Begin(kGeneration, Ask("x"), "POST", {{"x-dashscope-sse", "enable"}});
  ASSERT_TRUE(sink->FireTimer());
  EXPECT_NE(sink->body.find(":ping\n\n"), std::string::npos);
  sink->Leave();
}

TEST(Segmind, ThePathNamesTheModel) {
  const ScriptedService served(kScript);
  for (const char* name : {"qwen3-coder-plus", "qwen3-coder-flash"}) {
    const auto sink = served.Post(std::string("/v1/") + name, R"({"messages":[{"role":"user","content":"hello"}]})");
    ASSERT_EQ(sink->status, 200) << sink->body;
    EXPECT_EQ(sink->Json().at("object"), "chat.completion");
    EXPECT_EQ(sink->Json().at("model"), name);
    EXPECT_EQ(served.Get(std::string("/v1/") + name)->status, 405);
  }
  const auto streamed =
      served.Post("/v1/qwen3-coder-plus", R"({"messages":[{"role":"user","content":"hello"}],"stream":true})");
  EXPECT_TRUE(streamed->streamed);
  const auto bad = served.Post("/v1/qwen3-coder-plus", R"({"messages":[]})");
  EXPECT_EQ(bad->status, 400);
  EXPECT_TRUE(bad->Json().at("error").is_string());
}

TEST(Query, ValuesAreFoundAndDecoded) {
  EXPECT_EQ(QueryValue("a=1&b=x%20y+z&c", "b"), "x y z");
  EXPECT_EQ(QueryValue("a=1&b=2&a=3", "a"), "1");
  EXPECT_EQ(QueryValue("c", "c"), "");
  EXPECT_EQ(QueryValue("ab=1", "a"), std::nullopt);
  EXPECT_EQ(QueryValue("", "a"), std::nullopt);
  EXPECT_EQ(ParseCount("042"), 42);
  for (const char* text : {"", "-1", "+1", "1.0", "1e3", "9999999999999999999"}) {
    EXPECT_EQ(ParseCount(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace quern::api
