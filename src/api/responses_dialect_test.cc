// The Responses API through the service, the scripted backend behind it: bytes in, bytes out.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/responses_request.h"
#include "api/test_sink.h"

namespace quern::api {
namespace {

namespace json = boost::json;

constexpr const char* kResponses = "/v1/responses";

std::string Ask(std::string_view text, std::string_view more = "") {
  return R"({"model":"demo","input":)" + json::serialize(json::value(text)) + std::string(more.empty() ? "" : ",") +
         std::string(more) + "}";
}

constexpr std::string_view kTools =
    R"("tools":[{"type":"function","name":"write_file","strict":false,"parameters":{"type":"object","properties":{
       "path":{"type":"string"},"content":{"type":"string"},"n":{"type":"integer"}}}},{"type":"web_search"},
       {"type":"namespace","name":"x","tools":[]},{"type":"custom","name":"apply_patch","description":"Patches",
       "format":{"type":"text"}}])";

constexpr std::string_view kScript = R"({"context_length":8192,"rules":[
  {"match":["first words","<|im_start|>assistant\nHi! 你好 🙂","second words"],"text":"I remember."},
  {"match":"hello","text":"Hi! 你好 🙂","cached":10},
  {"match":"first words","text":"Hi! 你好 🙂"},
  {"match":"call it","text":"Yes.\n<tool_call>\n<function=write_file>\n<parameter=path>\na.py\n</parameter>\n<parameter=n>\n3\n</parameter>\n</function>\n</tool_call>"},
  {"match":"call twice","text":"<tool_call>\n<function=write_file>\n<parameter=path>\n1\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=write_file>\n<parameter=path>\n2\n</parameter>\n</function>\n</tool_call>"},
  {"match":"patch it","text":"<tool_call>\n<function=apply_patch>\n<parameter=input>\n*** Begin \"Patch\"\n</parameter>\n</function>\n</tool_call>"},
  {"match":"digits twice","text":"<tool_call>\n<function=code>\n<parameter=input>\n12\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=code>\n<parameter=input>\n34\n</parameter>\n</function>\n</tool_call>"},
  {"match":"digits","text":"<tool_call>\n<function=code>\n<parameter=input>\nab12cd345\n</parameter>\n</function>\n</tool_call>"},
  {"match":"cut it","text":"<tool_call>\n<function=write_file>\n<parameter=content>\nabcdefghij"},
  {"match":"fault","text":"abcdef","fault":{"kind":"error","at":3,"message":"boom"}},
  {"match":"gone","text":"abcdef","fault":{"kind":"drop","at":3,"message":"peer away"}},
  {"match":"refuse","fault":{"kind":"refuse","message":"queue full"}},
  {"match":"hang","text":"abc","fault":{"kind":"hang","at":0}},
  {"match":"long","text":"0123456789","finish":"length"},
  {"match":"silent","text":""},
  {"text":"?"}]})";

class Responses : public testing::Test {
 protected:
  std::shared_ptr<TestSink> Send(const std::string& body, const char* path = kResponses) const {
    return served_.Post(path, body);
  }
  std::expected<ResponsesRequest, std::string> Read(std::string_view body) {
    const json::value document = json::parse(body);
    ApiResult<ResponsesRequest> request =
        ReadResponsesRequest(ObjectReader(document.get_object(), ""), *served_.model(), Limits(), {*store_, "me"});
    if (!request) return std::unexpected(request.error().message);
    return *std::move(request);
  }
  std::vector<chat::Message> Turns(std::string_view input, std::string_view more = "") {
    const auto request = Read(R"({"model":"demo","input":)" + std::string(input) + std::string(more) + "}");
    EXPECT_TRUE(request) << (request ? "" : request.error());
    return request ? request->chat.messages : std::vector<chat::Message>();
  }

  ScriptedService served_{kScript};
  std::shared_ptr<KeptItems> store_ =
      KeptItems::Create(store::Database::Open("").value(), std::chrono::hours(1), 1 << 20).value();
};

std::string Types(const TestSink& sink, bool join_deltas = true) {
  std::string types;
  for (const json::value& frame : sink.EventFrames()) {
    const std::string type = std::string(frame.at("type").as_string()) + " ";
    // How many pieces text comes in depends on timing.
    if (join_deltas && type.ends_with(".delta ") && types.ends_with(type)) continue;
    types += type;
  }
  return types;
}

// Without what differs from one answer to the next.
json::value Comparable(json::value response) {
  json::object& object = response.as_object();
  object.erase("id");
  object.erase("created_at");
  for (json::value& item : object.at("output").as_array()) {
    item.as_object().erase("id");
    item.as_object().erase("call_id");
  }
  return response;
}

// The last event's response, after every event was checked against what came before it.
json::value Followed(const TestSink& sink) {
  json::array items;
  std::string text;
  int64_t sequence = 0;
  const auto frames = sink.EventFrames();
  for (const json::value& frame : frames) {
    EXPECT_EQ(frame.at("sequence_number").as_int64(), sequence++);
    const std::string_view type = frame.at("type").as_string();
    if (type == "response.output_item.added") {
      EXPECT_EQ(frame.at("output_index").to_number<size_t>(), items.size());
      text.clear();
    } else if (type.ends_with(".delta")) {
      text += std::string_view(frame.at("delta").as_string());
    } else if (type == "response.output_text.done") {
      EXPECT_EQ(frame.at("text").as_string(), text);
    } else if (type == "response.function_call_arguments.done") {
      EXPECT_EQ(frame.at("arguments").as_string(), text);
    } else if (type == "response.custom_tool_call_input.done") {
      EXPECT_EQ(frame.at("input").as_string(), text);
    } else if (type == "response.output_item.done") {
      EXPECT_EQ(frame.at("output_index").to_number<size_t>(), items.size());
      items.push_back(frame.at("item"));
    }
  }
  const json::value response = frames.back().at("response");
  EXPECT_EQ(response.at("output"), items);
  EXPECT_EQ(response.at("id"), frames.front().at("response").at("id"));
  return response;
}

TEST_F(Responses, AWholeAnswer) {
  const auto sink = Send(Ask("hello", R"("temperature":0.5,"metadata":{"a":"b"})"));
  EXPECT_EQ(sink->status, 200);
  const json::value answer = sink->Json();
  EXPECT_EQ(answer.at("object"), "response");
  EXPECT_TRUE(answer.at("id").as_string().starts_with("resp_"));
  EXPECT_EQ(answer.at("status"), "completed");
  EXPECT_TRUE(answer.at("error").is_null());
  EXPECT_EQ(answer.at("model"), "demo");
  const json::value& item = answer.at("output").at(0);
  EXPECT_EQ(item.at("type"), "message");
  EXPECT_EQ(item.at("status"), "completed");
  EXPECT_EQ(item.at("content").at(0).at("text"), "Hi! 你好 🙂");
  EXPECT_EQ(item.at("content").at(0).at("annotations"), json::array());
  EXPECT_EQ(answer.at("usage").at("output_tokens"), 16) << "15 bytes and the stop token";
  EXPECT_EQ(answer.at("usage").at("input_tokens_details").at("cached_tokens"), 10);
  EXPECT_EQ(answer.at("temperature").as_double(), 0.5);
  EXPECT_EQ(answer.at("metadata"), json::parse(R"({"a":"b"})"));
  EXPECT_TRUE(answer.at("instructions").is_null());
  EXPECT_EQ(answer.at("tool_choice"), "auto");
  EXPECT_EQ(answer.at("store"), true);
}

TEST_F(Responses, TheOrderOfAStream) {
  const auto sink = Send(Ask("call it", std::string(kTools) + R"(,"stream":true)"));
  EXPECT_EQ(Types(*sink),
            "response.created response.in_progress response.output_item.added response.content_part.added "
            "response.output_text.delta response.output_text.done response.content_part.done "
            "response.output_item.done response.output_item.added response.function_call_arguments.delta "
            "response.function_call_arguments.done response.output_item.done response.completed ");
  EXPECT_EQ(sink->body.find("[DONE]"), std::string::npos);
  const auto frames = sink->EventFrames();
  EXPECT_EQ(frames[0].at("response").at("status"), "in_progress");
  EXPECT_EQ(frames[0].at("response").at("output"), json::array());
  EXPECT_TRUE(frames[0].at("response").at("usage").is_null());
}

TEST_F(Responses, AStreamSaysTheSame) {
  for (const char* text : {"hello", "call it", "call twice", "patch it", "cut it", "long", "silent"}) {
    const std::string more = std::string(kTools) + R"(,"max_output_tokens":200)";
    const auto whole = Send(Ask(text, more));
    ASSERT_EQ(whole->status, 200) << whole->body;
    const auto streamed = Send(Ask(text, more + R"(,"stream":true)"));
    EXPECT_EQ(Comparable(Followed(*streamed)), Comparable(whole->Json())) << text;
  }
}

TEST_F(Responses, AnAnswerCutByLengthIsIncomplete) {
  const auto sink = Send(Ask("cut it", std::string(kTools) + R"(,"stream":true)"));
  const json::value response = Followed(*sink);
  EXPECT_TRUE(Types(*sink).ends_with("response.incomplete "));
  EXPECT_EQ(response.at("status"), "incomplete");
  EXPECT_EQ(response.at("incomplete_details").at("reason"), "max_output_tokens");
  EXPECT_EQ(response.at("output").at(0).at("status"), "incomplete");
  const json::value arguments = json::parse(response.at("output").at(0).at("arguments").as_string());
  EXPECT_EQ(arguments.at("content"), "abcdefghij");
}

TEST_F(Responses, AnEmptyAnswerIsAnEmptyMessage) {
  const json::value answer = Send(Ask("silent"))->Json();
  ASSERT_EQ(answer.at("output").as_array().size(), 1);
  EXPECT_EQ(answer.at("output").at(0).at("content").at(0).at("text"), "");
}

TEST_F(Responses, CustomToolsTakeAndGiveFreeText) {
  const auto request = Read(Ask("x", kTools));
  ASSERT_EQ(request->chat.tools.size(), 2) << "hosted tools are left out";
  EXPECT_EQ(request->chat.tools[0].declaration.at("function").as_object().if_contains("type"), nullptr);
  const json::value item = Send(Ask("patch it", kTools))->Json().at("output").at(0);
  EXPECT_EQ(item.at("type"), "custom_tool_call");
  EXPECT_EQ(item.at("name"), "apply_patch");
  EXPECT_EQ(item.at("input"), "*** Begin \"Patch\"");
  const auto turns = Turns(R"([{"role":"user","content":"x"},
    {"type":"custom_tool_call","call_id":"c","name":"apply_patch","input":"p\n"},
    {"type":"custom_tool_call_output","call_id":"c","output":"done"}])");
  ASSERT_EQ(turns.size(), 3);
  EXPECT_EQ(turns[1].tool_calls[0].arguments, json::parse(R"({"input":"p\n"})"));
  EXPECT_EQ(turns[2].content, "done");
}

TEST_F(Responses, ACustomToolsRegexIsEnforced) {
  const auto tool = [](const std::string& syntax, const std::string& definition) {
    return R"("tools":[{"type":"custom","name":"code","format":{"type":"grammar","syntax":")" + syntax +
           R"(","definition":)" + json::serialize(json::value(definition)) + "}}]";
  };
  for (const char* choice : {"", R"(,"tool_choice":"required")"}) {
    const json::value item = Send(Ask("digits", tool("regex", "[0-9]{3}|x") + choice))->Json().at("output").at(0);
    EXPECT_EQ(item.at("type"), "custom_tool_call");
    EXPECT_EQ(item.at("input"), "123");
  }
  const auto bad = Send(Ask("digits", tool("regex", "[0-9")));
  EXPECT_EQ(bad->status, 400);
  EXPECT_NE(bad->body.find("code"), std::string::npos) << bad->body;
  EXPECT_EQ(Send(Ask("digits", tool("peg", "x")))->Json().at("error").at("param"), "tools[0].format.syntax");
}

std::string CustomTool(const std::string& definition) {
  return R"("tools":[{"type":"function","name":"write_file","parameters":{"type":"object","properties":{
       "path":{"type":"string"}}}},{"type":"custom","name":"code","format":{"type":"grammar","syntax":"lark","definition":)" +
         json::serialize(json::value(definition)) + "}}]";
}

TEST_F(Responses, ACustomToolsLarkIsEnforced) {
  const auto request = Read(Ask("x", CustomTool("start: /.+/")));
  const std::string description(request->chat.tools[1].declaration.at("function").at("description").as_string());
  EXPECT_NE(description.find("start: /.+/"), std::string::npos) << "the model is told as well";
  for (const char* choice : {"", R"(,"tool_choice":"required")", R"(,"parallel_tool_calls":false)"}) {
    const std::string more = CustomTool("start: word word\nword: /[0-9]{2}/ -> pair\n") + choice;
    const json::value item = Send(Ask("digits", more))->Json().at("output").at(0);
    EXPECT_EQ(item.at("type"), "custom_tool_call");
    EXPECT_EQ(item.at("input"), "1234");
  }
  const auto twice = Send(Ask("call twice", CustomTool("start: /x/")))->Json();
  EXPECT_EQ(twice.at("output").as_array().size(), 2) << "other functions are called as often as ever";
}

TEST_F(Responses, ACustomToolsTextEndsWhereItsCallDoes) {
  for (const char* lark : {R"(start: /(.|\n)+/)", R"(start: /[^<]*/)", R"(start: /[\s\S]+/)", R"(start: /\d+/)"}) {
    const auto whole = Send(Ask("digits twice", CustomTool(lark)));
    ASSERT_EQ(whole->status, 200) << whole->body;
    const json::value output = whole->Json().at("output");
    ASSERT_EQ(output.as_array().size(), 2) << lark;
    EXPECT_EQ(output.at(0).at("input"), "12");
    EXPECT_EQ(output.at(1).at("input"), "34");
    const auto streamed = Send(Ask("digits twice", CustomTool(lark) + R"(,"stream":true)"));
    EXPECT_EQ(Comparable(Followed(*streamed)), Comparable(whole->Json())) << lark;
  }
}

TEST_F(Responses, ATextThatNoCallCanHoldIsAnError) {
  const std::string more = CustomTool(R"(start: "12</function>")");
  const auto sink = Send(Ask("digits", more));
  EXPECT_NE(sink->status, 200) << sink->body;
  EXPECT_NE(sink->body.find("nested text"), std::string::npos) << sink->body;
  EXPECT_EQ(Send(Ask("digits", more + R"(,"stream":true)"))->EventFrames().back().at("type"), "response.failed");
}

TEST_F(Responses, ACustomToolsLarkThatCannotBeEnforcedIsRefused) {
  for (const char* wrong : {"start: (", "begin: /x/", "start: /(?=x)x/"}) {
    const auto bad = Send(Ask("digits", CustomTool(wrong)));
    EXPECT_EQ(bad->status, 400) << wrong << bad->body;
    EXPECT_NE(bad->body.find("'code'"), std::string::npos) << bad->body;
  }
  const auto param = [&](const std::string& format) {
    return Send(Ask("digits", R"("tools":[{"type":"custom","name":"code","format":)" + format + "}]"))
        ->Json()
        .at("error")
        .at("param");
  };
  EXPECT_EQ(param(R"({"type":"grammar","syntax":"lark","definition":""})"), "tools[0].format.definition");
  EXPECT_EQ(param(R"({"type":"grammar","syntax":"lark"})"), "tools[0].format.definition");
  EXPECT_EQ(param(R"({"type":"grammar","definition":"start: /x/"})"), "tools[0].format.syntax");
  EXPECT_EQ(param(R"({"type":"prose","syntax":"lark","definition":"start: /x/"})"), "tools[0].format.type");
  EXPECT_EQ(Send(Ask("digits", R"("tools":[{"type":"custom","name":"code","format":{"type":"text"}}])"))->status, 200);
}

TEST_F(Responses, ItemsBecomeTurns) {
  const auto turns = Turns(R"([
    {"type":"message","role":"developer","id":"m1","content":[{"type":"input_text","text":"be "},{"type":"text","text":"brief"}]},
    {"role":"user","content":"go"},
    {"type":"reasoning","summary":[],"encrypted_content":"x"},
    {"type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"ok","annotations":[]}]},
    {"type":"function_call","call_id":"a","name":"f","arguments":"{\"x\":1}","id":"fc_1","status":"completed"},
    {"type":"function_call","call_id":"b","name":"f","arguments":"{\"cut"},
    {"type":"web_search_call","id":"ws"},
    {"type":"function_call_output","call_id":"b","output":[{"type":"input_text","text":"two"},{"type":"input_image","image_url":"x"}]},
    {"type":"function_call_output","call_id":"a","output":"one"},
    {"role":"user","content":"so?"}])",
                           R"(,"instructions":"first of all")");
  ASSERT_EQ(turns.size(), 7);
  EXPECT_EQ(turns[0].content, "first of all");
  EXPECT_EQ(turns[1].role, chat::Role::kSystem);
  EXPECT_EQ(turns[1].content, "be brief");
  EXPECT_EQ(turns[3].role, chat::Role::kAssistant);
  EXPECT_EQ(turns[3].content, "ok");
  ASSERT_EQ(turns[3].tool_calls.size(), 2) << "words and calls are one turn";
  EXPECT_EQ(turns[3].tool_calls[1].arguments, "{\"cut") << "a truncated call is replayed as it was";
  EXPECT_EQ(turns[4].content, "one") << "in the order of the calls";
  EXPECT_EQ(turns[5].content, "two[image]");
}

TEST_F(Responses, ToolChoices) {
  const auto choice = [&](std::string_view text) {
    return Read(Ask("x", std::string(kTools) + R"(,"tool_choice":)" + std::string(text)));
  };
  EXPECT_EQ(choice(R"("none")")->chat.tool_choice, ToolChoice::kNone);
  EXPECT_EQ(choice(R"("required")")->chat.tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(choice(R"({"type":"function","name":"write_file"})")->chat.forced_tool, "write_file");
  EXPECT_EQ(choice(R"({"type":"custom","name":"apply_patch"})")->chat.forced_tool, "apply_patch");
  EXPECT_EQ(choice(R"({"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"write_file"}]})")
                ->chat.tools.size(),
            1);
  EXPECT_FALSE(choice(R"({"type":"function","name":"nobody"})"));
}

TEST_F(Responses, AnEarlierResponseIsContinued) {
  const json::value first = Send(Ask("first words", R"("instructions":"only now")"))->Json();
  const std::string id(first.at("id").as_string());
  const json::value second = Send(Ask("second words", R"("previous_response_id":")" + id + "\""))->Json();
  EXPECT_EQ(second.at("output").at(0).at("content").at(0).at("text"), "I remember.");
  EXPECT_EQ(second.at("previous_response_id").as_string(), id);
  EXPECT_TRUE(second.at("instructions").is_null()) << "not inherited";
  const std::string second_path = "/v1/responses/" + std::string(second.at("id").as_string());
  EXPECT_EQ(served_.Get(second_path)->Json(), second);
  const json::value items = served_.Get(second_path + "/input_items")->Json();
  ASSERT_EQ(items.at("data").as_array().size(), 3) << "those of the earlier turn too";
  EXPECT_EQ(items.at("data").at(1).at("id"), first.at("output").at(0).at("id"));
}

TEST_F(Responses, InputItemsArePaged) {
  const json::value answer =
      Send(
          R"({"model":"demo","input":[{"role":"user","content":"one"},{"role":"assistant","content":"two"},
          {"role":"user","content":[{"type":"input_text","text":"three"}],"id":"mine"}]})")
          ->Json();
  const std::string path = "/v1/responses/" + std::string(answer.at("id").as_string()) + "/input_items";
  const auto page = [&](std::string query) {
    auto sink = std::make_shared<TestSink>();
    served_.service->Handle({"GET", path, std::move(query), {}, ""}, sink);
    sink->Run();
    return sink->Json();
  };
  const json::value all = page("order=asc");
  ASSERT_EQ(all.at("data").as_array().size(), 3);
  EXPECT_EQ(all.at("data").at(0).at("content"), json::parse(R"([{"type":"input_text","text":"one"}])"));
  EXPECT_EQ(all.at("data").at(1).at("content"), json::parse(R"([{"type":"output_text","text":"two"}])"));
  EXPECT_EQ(all.at("last_id"), "mine");
  EXPECT_EQ(page("").at("first_id"), "mine") << "the newest first";
  const json::value newest = page("limit=2");
  EXPECT_EQ(newest.at("has_more"), true);
  EXPECT_EQ(newest.at("last_id"), all.at("data").at(1).at("id"));
  const json::value rest = page("limit=2&after=" + std::string(newest.at("last_id").as_string()));
  EXPECT_EQ(rest.at("has_more"), false);
  EXPECT_EQ(rest.at("first_id"), all.at("first_id"));
  EXPECT_EQ(page("limit=0").at("error").at("param"), "limit");
  EXPECT_EQ(page("order=up").at("error").at("param"), "order");
  EXPECT_EQ(page("after=none").at("data"), json::array());
}

TEST_F(Responses, WhatIsKeptBelongsToItsKey) {
  const json::value answer = Send(Ask("hello"))->Json();
  const std::string path = "/v1/responses/" + std::string(answer.at("id").as_string());
  EXPECT_EQ(served_.Get(path, "GET", {{"authorization", "Bearer other"}})->status, 404);
  EXPECT_EQ(served_.Get(path, "DELETE", {{"x-api-key", "other"}})->status, 404);
  EXPECT_EQ(served_.Get(path)->status, 200);
  EXPECT_EQ(served_.Get(path, "DELETE")->Json().at("deleted"), true);
  EXPECT_EQ(served_.Get(path)->status, 404);
  const json::value error =
      Send(Ask("x", R"("previous_response_id":")" + std::string(answer.at("id").as_string()) + "\""))->Json();
  EXPECT_EQ(error.at("error").at("code"), "previous_response_not_found");
  EXPECT_EQ(error.at("error").at("param"), "previous_response_id");
}

TEST_F(Responses, WhatIsNotToBeKeptIsNot) {
  const json::value answer = Send(Ask("hello", R"("store":false)"))->Json();
  EXPECT_EQ(served_.Get("/v1/responses/" + std::string(answer.at("id").as_string()))->status, 404);
}

TEST_F(Responses, AReferenceIsTheItemItself) {
  const json::value first = Send(Ask("first words"))->Json();
  const std::string item(first.at("output").at(0).at("id").as_string());
  const std::string body = R"({"model":"demo","input":[{"role":"user","content":"first words"},
    {"type":"item_reference","id":")" +
                           item + R"("},{"role":"user","content":"second words"}]})";
  EXPECT_EQ(Send(body)->Json().at("output").at(0).at("content").at(0).at("text"), "I remember.");
  EXPECT_EQ(Send(R"({"model":"demo","input":[{"id":"msg_none"}]})")->status, 404);
}

TEST_F(Responses, TokensAreCountedAsTheyAreRead) {
  const std::string more = std::string(kTools) + R"(,"instructions":"be brief")";
  const json::value count = Send(Ask("hello", more), "/v1/responses/input_tokens")->Json();
  EXPECT_EQ(count.at("object"), "response.input_tokens");
  EXPECT_EQ(count.at("input_tokens"), Send(Ask("hello", more))->Json().at("usage").at("input_tokens"));
}

TEST_F(Responses, LogprobsWhenIncluded) {
  const json::value part =
      Send(Ask("hello", R"("include":["message.output_text.logprobs","reasoning.encrypted_content"],"top_logprobs":2)"))
          ->Json()
          .at("output")
          .at(0)
          .at("content")
          .at(0);
  EXPECT_EQ(part.at("logprobs").as_array().size(), 15);
  EXPECT_EQ(part.at("logprobs").at(0).at("token"), "H");
  EXPECT_EQ(part.at("logprobs").at(0).at("top_logprobs").as_array().size(), 2);
}

TEST_F(Responses, AFaultInAStreamIsAFailedResponse) {
  const std::pair<const char*, const char*> rows[] = {{"fault", "server_error"}, {"gone", "rate_limit_exceeded"}};
  for (const auto& [text, code] : rows) {
    const auto sink = Send(Ask(text, R"("stream":true)"));
    EXPECT_EQ(sink->status, 200);
    const auto frames = sink->EventFrames();
    EXPECT_EQ(frames.back().at("type"), "response.failed");
    const json::value& response = frames.back().at("response");
    EXPECT_EQ(response.at("status"), "failed");
    EXPECT_EQ(response.at("error").at("code"), code);
    EXPECT_EQ(served_.Get("/v1/responses/" + std::string(response.at("id").as_string()))->status, 404);
  }
  const auto waiting = Send(Ask("gone", R"("stream":true)"))->EventFrames();
  EXPECT_EQ(waiting.back().at("response").at("error").at("message"), "peer away. Please try again in 1s.");
  EXPECT_EQ(Send(Ask("fault"))->status, 500);
  EXPECT_EQ(Send(Ask("refuse", R"("stream":true)"))->status, 503);
}

TEST_F(Responses, ProgressIsSaidAgainWhileNothingComes) {
  const auto sink = served_.Begin(kResponses, Ask("hang", R"("stream":true)"));
  EXPECT_TRUE(sink->FireTimer());
  EXPECT_TRUE(sink->FireTimer());
  EXPECT_EQ(Types(*sink), "response.created response.in_progress response.in_progress response.in_progress ");
  sink->Leave();
}

TEST_F(Responses, WhatCannotBeHonouredIsRefusedByName) {
  const std::pair<const char*, const char*> rows[] = {
      {R"("input":"x","background":true)", "'background'"},
      {R"("input":"x","conversation":"c")", "'conversation'"},
      {R"("input":"x","prompt":{"id":"p"})", "'prompt'"},
      {R"("input":"x","truncation":"head")", "'truncation'"},
      {R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}])", "input[0].content[0]"},
      {R"("input":[{"type":"function_call_output","call_id":"z","output":"x"}])", "No tool call found"},
      {R"("input":[])", "'input'"},
      {R"("input":[{"role":"robot","content":"x"}])", "'robot'"},
  };
  for (const auto& [fields, words] : rows) {
    const auto request = Read(R"({"model":"demo",)" + std::string(fields) + "}");
    ASSERT_FALSE(request) << fields;
    EXPECT_NE(request.error().find(words), std::string::npos) << request.error();
  }
}

TEST_F(Responses, EveryPrefixAnswers) {
  for (const std::string prefix :
       {"/v1", "", "/compatible-mode/v1", "/openai/v1", "/api/v2/apps/protocols/compatible-mode/v1"}) {
    const auto sink = served_.Post(prefix + "/responses", Ask("hello"));
    EXPECT_EQ(sink->status, 200) << prefix;
    const std::string id(sink->Json().at("id").as_string());
    EXPECT_EQ(served_.Get(prefix + "/responses/" + id)->status, 200) << prefix;
  }
  EXPECT_EQ(served_.Get(kResponses)->status, 405) << "what an upgrade to a web socket is answered";
}

}  // namespace
}  // namespace quern::api
