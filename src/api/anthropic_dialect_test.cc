// Anthropic Messages through the service, the scripted backend behind it: bytes in, bytes out.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/anthropic_messages.h"
#include "api/test_sink.h"

namespace quern::api {
namespace {

namespace json = boost::json;

constexpr const char* kMessages = "/v1/messages";

std::string Ask(std::string_view text, std::string_view more = "") {
  return R"({"model":"demo","max_tokens":200,"messages":[{"role":"user","content":)" +
         json::serialize(json::value(text)) + "}]" + std::string(more.empty() ? "" : ",") + std::string(more) + "}";
}

constexpr std::string_view kTools =
    R"("tools":[{"name":"write_file","input_schema":{"type":"object","properties":{
       "path":{"type":"string"},"content":{"type":"string"},"n":{"type":"integer"}}},"cache_control":{"type":"ephemeral"},
       "defer_loading":true},{"type":"web_search_20250305","name":"web_search"}])";

constexpr std::string_view kScript = R"({"context_length":8192,"rules":[
  {"match":"hello","text":"Hi! 你好 🙂","cached":10},
  {"match":"call it","text":"Yes.\n<tool_call>\n<function=write_file>\n<parameter=path>\na.py\n</parameter>\n<parameter=n>\n3\n</parameter>\n</function>\n</tool_call>"},
  {"match":"call twice","text":"<tool_call>\n<function=write_file>\n<parameter=path>\n1\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=write_file>\n<parameter=path>\n2\n</parameter>\n</function>\n</tool_call>"},
  {"match":"cut it","text":"<tool_call>\n<function=write_file>\n<parameter=content>\nabcdefghij"},
  {"match":"fault","text":"abcdef","fault":{"kind":"error","at":3,"message":"boom"}},
  {"match":"refuse","fault":{"kind":"refuse","message":"queue full"}},
  {"match":"hang","text":"abc","fault":{"kind":"hang","at":0}},
  {"match":"long","text":"0123456789","finish":"length"},
  {"match":"stopping","text":"one two END three"},
  {"match":"silent","text":""},
  {"text":"?"}]})";

class Anthropic : public testing::Test {
 protected:
  std::shared_ptr<TestSink> Send(const std::string& body, const char* path = kMessages) const {
    return served_.Post(path, body);
  }
  // The request as plain values; a failure's message instead.
  std::expected<ChatRequest, std::string> Read(std::string_view body) const {
    const json::value document = json::parse(body);
    ApiResult<ChatRequest> request =
        ReadAnthropicRequest(ObjectReader(document.get_object(), ""), *served_.model(), Limits());
    if (!request) return std::unexpected(request.error().message);
    return *std::move(request);
  }
  std::vector<chat::Message> Turns(std::string_view messages, std::string_view more = "") const {
    const auto request = Read(R"({"model":"demo","messages":)" + std::string(messages) + std::string(more) + "}");
    EXPECT_TRUE(request) << (request ? "" : request.error());
    return request ? request->messages : std::vector<chat::Message>();
  }

  ScriptedService served_{kScript};
};

std::string Types(const TestSink& sink) {
  std::string types;
  for (const json::value& frame : sink.EventFrames()) types += std::string(frame.at("type").as_string()) + " ";
  return types;
}

// What a client that puts the blocks together ends up with: content, stop_reason, stop_sequence as the whole answer has
// them, ids left out.
json::value Joined(const TestSink& sink) {
  json::array content;
  json::object joined;
  bool open = false;
  std::string input;
  for (const json::value& frame : sink.EventFrames()) {
    const std::string_view type = frame.at("type").as_string();
    if (type == "content_block_start") {
      EXPECT_FALSE(open) << "two blocks open at once";
      EXPECT_EQ(frame.at("index").to_number<size_t>(), content.size());
      open = true;
      input.clear();
      json::object block = frame.at("content_block").as_object();
      if (block.at("type") == "tool_use") {
        EXPECT_EQ(block.at("input"), json::object());
      }
      block.erase("id");
      content.push_back(std::move(block));
    } else if (type == "content_block_delta") {
      EXPECT_TRUE(open);
      EXPECT_EQ(frame.at("index").to_number<size_t>() + 1, content.size());
      const json::value& delta = frame.at("delta");
      json::object& block = content.back().as_object();
      if (delta.at("type") == "text_delta") {
        block.at("text").as_string().append(std::string_view(delta.at("text").as_string()));
      } else {
        input += std::string_view(delta.at("partial_json").as_string());
      }
    } else if (type == "content_block_stop") {
      EXPECT_TRUE(open);
      open = false;
      json::object& block = content.back().as_object();
      if (block.at("type") == "tool_use") block["input"] = json::parse(input);
    } else if (type == "message_delta") {
      EXPECT_FALSE(open);
      joined["stop_reason"] = frame.at("delta").at("stop_reason");
      joined["stop_sequence"] = frame.at("delta").at("stop_sequence");
      joined["output_tokens"] = frame.at("usage").at("output_tokens");
    }
  }
  joined["content"] = std::move(content);
  return joined;
}

json::value WholeOf(const TestSink& sink) {
  const json::value answer = sink.Json();
  json::object whole;
  whole["stop_reason"] = answer.at("stop_reason");
  whole["stop_sequence"] = answer.at("stop_sequence");
  whole["output_tokens"] = answer.at("usage").at("output_tokens");
  json::array content = answer.at("content").as_array();
  for (json::value& block : content) block.as_object().erase("id");
  whole["content"] = std::move(content);
  return whole;
}

TEST_F(Anthropic, AWholeAnswer) {
  const auto sink = Send(Ask("hello"));
  EXPECT_EQ(sink->status, 200);
  EXPECT_TRUE(sink->Find("request-id").starts_with("req_"));
  const json::value answer = sink->Json();
  EXPECT_EQ(answer.at("type"), "message");
  EXPECT_EQ(answer.at("role"), "assistant");
  EXPECT_EQ(answer.at("model"), "demo");
  EXPECT_TRUE(answer.at("id").as_string().starts_with("msg_"));
  EXPECT_EQ(answer.at("content"), json::parse(R"([{"type":"text","text":"Hi! 你好 🙂"}])"));
  EXPECT_EQ(answer.at("stop_reason"), "end_turn");
  EXPECT_TRUE(answer.at("stop_sequence").is_null());
  EXPECT_EQ(answer.at("usage").at("output_tokens"), 16) << "15 bytes and the stop token";
  EXPECT_EQ(answer.at("usage").at("cache_read_input_tokens"), 10);
}

TEST_F(Anthropic, TheThreePartsOfThePromptAddUp) {
  const json::value count = Send(Ask("hello"), "/v1/messages/count_tokens")->Json();
  const json::value usage = Send(Ask("hello"))->Json().at("usage");
  EXPECT_EQ(count.at("input_tokens").as_int64(), usage.at("input_tokens").as_int64() +
                                                     usage.at("cache_creation_input_tokens").as_int64() +
                                                     usage.at("cache_read_input_tokens").as_int64());
}

TEST_F(Anthropic, TheOrderOfAStream) {
  const auto sink = Send(Ask("call it", std::string(kTools) + R"(,"stream":true)"));
  EXPECT_EQ(sink->Find("content-type"), "text/event-stream; charset=utf-8");
  std::string types = Types(*sink);
  // How many pieces text comes in depends on timing.
  const std::string delta = "content_block_delta ";
  for (size_t at; (at = types.find(delta + delta)) != std::string::npos;) types.erase(at, delta.size());
  EXPECT_EQ(types,
            "message_start ping content_block_start content_block_delta content_block_stop content_block_start "
            "content_block_delta content_block_stop message_delta message_stop ");
  EXPECT_EQ(sink->body.find("[DONE]"), std::string::npos);
  const json::value start = sink->EventFrames().front().at("message");
  EXPECT_EQ(start.at("content"), json::array());
  EXPECT_TRUE(start.at("stop_reason").is_null());
  EXPECT_GT(start.at("usage").at("input_tokens").as_int64(), 0);
}

TEST_F(Anthropic, AStreamSaysTheSame) {
  for (const char* text : {"hello", "call it", "call twice", "cut it", "long", "stopping", "silent"}) {
    const std::string more = std::string(kTools) + R"(,"stop_sequences":["END"])";
    const auto whole = Send(Ask(text, more));
    ASSERT_EQ(whole->status, 200) << whole->body;
    EXPECT_EQ(Joined(*Send(Ask(text, more + R"(,"stream":true)"))), WholeOf(*whole)) << text;
  }
}

TEST_F(Anthropic, StopReasons) {
  const std::string more = std::string(kTools) + R"(,"stop_sequences":["never","END"])";
  const std::pair<const char*, const char*> rows[] = {{"hello", "end_turn"},         {"call it", "tool_use"},
                                                      {"cut it", "max_tokens"},      {"long", "max_tokens"},
                                                      {"stopping", "stop_sequence"}, {"silent", "end_turn"}};
  for (const auto& [text, reason] : rows) EXPECT_EQ(Send(Ask(text, more))->Json().at("stop_reason"), reason) << text;
  EXPECT_EQ(Send(Ask("stopping", more))->Json().at("stop_sequence"), "END");
  EXPECT_EQ(Send(Ask("silent"))->Json().at("content"), json::array()) << "no empty block";
  const ScriptedService small(R"({"context_length":80,"rules":[{"text":"0123456789","finish":"length"}]})");
  EXPECT_EQ(small.Post(kMessages, Ask("x"))->Json().at("stop_reason"), "model_context_window_exceeded");
}

TEST_F(Anthropic, OneCallWhenParallelOnesAreDisabled) {
  EXPECT_EQ(Send(Ask("call twice", kTools))->Json().at("content").as_array().size(), 2);
  const auto sink = Send(
      Ask("call twice", std::string(kTools) + R"(,"tool_choice":{"type":"auto","disable_parallel_tool_use":true})"));
  EXPECT_EQ(sink->Json().at("content").as_array().size(), 1);
  EXPECT_EQ(sink->Json().at("stop_reason"), "tool_use");
}

TEST_F(Anthropic, ToolChoices) {
  const auto choice = [&](std::string_view text) {
    return Read(Ask("x", std::string(kTools) + R"(,"tool_choice":)" + std::string(text)));
  };
  EXPECT_EQ(choice(R"({"type":"auto"})")->tool_choice, ToolChoice::kAuto);
  EXPECT_EQ(choice(R"({"type":"none"})")->tool_choice, ToolChoice::kNone);
  EXPECT_EQ(choice(R"({"type":"any"})")->tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(choice(R"({"type":"tool","name":"write_file"})")->forced_tool, "write_file");
  EXPECT_NE(choice(R"({"type":"tool","name":"web_search"})").error().find("'web_search'"), std::string::npos);
  EXPECT_FALSE(Read(Ask("x", R"("tool_choice":{"type":"any"})")));
}

TEST_F(Anthropic, ToolsReachTheTemplateWithoutTheProtocolsMarkers) {
  const auto request = Read(Ask("x", kTools));
  ASSERT_EQ(request->tools.size(), 1) << "a server tool without a schema is left out";
  EXPECT_EQ(json::serialize(request->tools[0].declaration),
            R"({"type":"function","function":{"name":"write_file","parameters":{"type":"object","properties":{)"
            R"("path":{"type":"string"},"content":{"type":"string"},"n":{"type":"integer"}}}}})");
  EXPECT_EQ(Read(Ask("x", R"("tools":[{"type":"bash_20250124","name":"bash","input_schema":{"type":"object"}}])"))
                ->tools.size(),
            1);
}

TEST_F(Anthropic, SystemWhereverItStands) {
  const auto turns = Turns(
      R"([{"role":"user","content":"a"},{"role":"system","content":[{"type":"text","text":"b","cache_control":{}}]},
          {"role":"system","content":"c"}])",
      R"(,"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2"},{"type":"text","text":"one "},
          {"type":"text","text":"two"}])");
  ASSERT_EQ(turns.size(), 4);
  EXPECT_EQ(turns[0].role, chat::Role::kSystem);
  EXPECT_EQ(turns[0].content, "one two");
  EXPECT_EQ(turns[2].role, chat::Role::kSystem);
  EXPECT_EQ(turns[2].content, "b");
  EXPECT_EQ(turns[3].content, "c");
  EXPECT_EQ(Turns(R"([{"role":"user","content":"a"}])", R"(,"system":"plain")")[0].content, "plain");
}

TEST_F(Anthropic, ResultsOfToolsStandBeforeTheWords) {
  const auto turns = Turns(R"([
    {"role":"user","content":"go"},
    {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"ok"},
      {"type":"tool_use","id":"t1","name":"f","input":{"a":1}},{"type":"tool_use","id":"t2","name":"f","input":{}}]},
    {"role":"user","content":[{"type":"text","text":"and now"},
      {"type":"tool_result","tool_use_id":"t2","is_error":true,"content":"no"},
      {"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"r"},{"type":"image","source":{}}]}]}])");
  ASSERT_EQ(turns.size(), 5);
  EXPECT_EQ(turns[1].content, "ok");
  ASSERT_EQ(turns[1].tool_calls.size(), 2);
  EXPECT_EQ(turns[1].tool_calls[0].arguments, json::parse(R"({"a":1})"));
  EXPECT_EQ(turns[2].tool_call_id, "t1");
  EXPECT_EQ(turns[2].content, "r[image]");
  EXPECT_EQ(turns[3].content, "Error: no");
  EXPECT_EQ(turns[4].role, chat::Role::kUser);
  EXPECT_EQ(turns[4].content, "and now");
}

TEST_F(Anthropic, TurnsOfOneSpeakerAreOne) {
  const auto turns = Turns(R"([{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"},
    {"type":"document","source":{"type":"text","media_type":"text/plain","data":"c"}}]}])");
  ASSERT_EQ(turns.size(), 1);
  EXPECT_EQ(turns[0].content, "a\n\nbc");
}

TEST_F(Anthropic, ALastAssistantTurnIsContinued) {
  const auto request = Read(
      R"({"model":"demo","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"The answer "}]})");
  EXPECT_TRUE(request->continue_final_message);
  EXPECT_FALSE(request->add_generation_prompt);
  const auto empty =
      Read(R"({"model":"demo","messages":[{"role":"user","content":"a"},{"role":"assistant","content":""}]})");
  EXPECT_FALSE(empty->continue_final_message);
  EXPECT_EQ(empty->messages.size(), 1);
}

TEST_F(Anthropic, WhatCannotBeHonouredIsRefusedByName) {
  const std::pair<const char*, const char*> rows[] = {
      {R"("messages":[])", "at least one message"},
      {R"("messages":[{"role":"user","content":[{"type":"image","source":{}}]}])", "messages.0.content.0"},
      {R"("messages":[{"role":"user","content":[{"type":"document","source":{"type":"url"}}]}])",
       "'text' and 'content'"},
      {R"("messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_x"}]}])",
       "messages.0.content.0: unexpected tool_use_id found in tool_result blocks: toolu_x"},
      {R"("messages":[{"role":"robot","content":"x"}])", "messages.0.role"},
      {R"("messages":[{"role":"user"}])", "messages.0.content"},
      {R"("messages":[{"role":"user","content":"x"}],"output_config":{"format":{"type":"json_schema"}})",
       "output_config.format"},
  };
  for (const auto& [fields, words] : rows) {
    const auto request = Read(R"({"model":"demo",)" + std::string(fields) + "}");
    ASSERT_FALSE(request) << fields;
    EXPECT_NE(request.error().find(words), std::string::npos) << request.error();
  }
}

TEST_F(Anthropic, WhatMeansNothingHereIsIgnored) {
  EXPECT_EQ(Send(Ask("hello", R"("thinking":{"type":"adaptive"},"metadata":{"user_id":"{\"a\":1}"},"speed":"fast",
      "context_management":{"edits":[]},"output_config":{"effort":"high"},"service_tier":"auto","mcp_servers":[],
      "container":null,"cache_control":{"type":"ephemeral"},"top_k":5,"system":null)"))
                ->status,
            200);
}

TEST_F(Anthropic, ErrorsHaveTheirShape) {
  const auto sink = Send(R"({"model":"none","messages":[]})");
  EXPECT_EQ(sink->status, 404);
  const json::value error = sink->Json();
  EXPECT_EQ(error.at("type"), "error");
  EXPECT_EQ(error.at("error").at("type"), "not_found_error");
  EXPECT_EQ(error.at("request_id").as_string(), sink->Find("request-id"));
  EXPECT_EQ(Send("{")->Json().at("error").at("type"), "invalid_request_error");
  const auto busy = Send(Ask("refuse"));
  EXPECT_EQ(busy->status, 529);
  EXPECT_EQ(busy->Json().at("error").at("type"), "overloaded_error");
  EXPECT_EQ(busy->Find("retry-after"), "1");
  EXPECT_EQ(Send(Ask("fault"))->status, 500);
  EXPECT_EQ(Send(Ask("fault"))->Json().at("error").at("type"), "api_error");
  for (const char* path : {"/anthropic/v1/nothing", "/apps/anthropic/v1/messages/x"}) {
    EXPECT_EQ(Send("{}", path)->Json().at("error").at("type"), "not_found_error") << path;
  }
  EXPECT_EQ(served_.Get(kMessages)->status, 405);
  EXPECT_EQ(served_.Get(kMessages)->Json().at("type"), "error");
}

TEST_F(Anthropic, APromptThatIsTooLongSaysSoInTheWordsThatClientsKnow) {
  const ScriptedService small(R"({"context_length":60,"rules":[{"text":"?"}]})");
  const auto sink = small.Post(kMessages, Ask(std::string(50, 'x')));
  EXPECT_EQ(sink->status, 400);
  const std::string message(sink->Json().at("error").at("message").as_string());
  long long n = 0;
  long long most = 0;
  ASSERT_EQ(std::sscanf(message.c_str(), "prompt is too long: %lld tokens > %lld maximum", &n, &most), 2) << message;
  EXPECT_GT(n, most);
  EXPECT_EQ(most, 59) << "one token of the context is left for the answer";
  EXPECT_EQ(small.Post("/v1/messages/count_tokens", Ask(std::string(50, 'x')))->Json().at("input_tokens"), n);
}

TEST_F(Anthropic, AFaultInAStreamIsAnEvent) {
  const auto sink = Send(Ask("fault", R"("stream":true)"));
  EXPECT_EQ(sink->status, 200);
  const auto frames = sink->EventFrames();
  EXPECT_EQ(frames.back().at("type"), "error");
  EXPECT_EQ(frames.back().at("error").at("type"), "api_error");
  EXPECT_EQ(frames.back().at("request_id").as_string(), sink->Find("request-id"));
  EXPECT_EQ(Types(*sink).find("message_stop"), std::string::npos);
}

TEST_F(Anthropic, PingsKeepAStreamAlive) {
  const auto sink = served_.Begin(kMessages, Ask("hang", R"("stream":true)"));
  EXPECT_TRUE(sink->FireTimer());
  EXPECT_TRUE(sink->FireTimer());
  EXPECT_EQ(Types(*sink), "message_start ping ping ping ");
  sink->Leave();
}

TEST_F(Anthropic, EveryPrefixAnswers) {
  for (const std::string prefix : {"", "/anthropic", "/apps/anthropic"}) {
    EXPECT_EQ(served_.Post(prefix + "/v1/messages", Ask("hello"))->status, 200) << prefix;
    EXPECT_EQ(served_.Post(prefix + "/v1/messages/", Ask("hello"))->status, 200) << prefix;
    const json::value models = served_.Get(prefix + "/v1/models")->Json();
    EXPECT_EQ(models.at("data").at(0).at("type"), "model") << prefix;
    EXPECT_EQ(models.at("data").at(0).at("id"), models.at("first_id")) << prefix;
  }
}

}  // namespace
}  // namespace quern::api
