// llama.cpp's, vLLM's and Ollama's own routes through the service, the scripted backend behind it.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/test_sink.h"

namespace quern::api {
namespace {

namespace json = boost::json;

constexpr std::string_view kScript = R"({"context_length":8192,"rules":[
  {"match":"hello","text":"Hi! 你好"},
  {"match":"call it","text":"Yes.\n<tool_call>\n<function=write_file>\n<parameter=path>\na.py\n</parameter>\n</function>\n</tool_call>"},
  {"match":"<|fim_prefix|>def f():<|fim_suffix|>return x<|fim_middle|>","text":"x = 1 END more"},
  {"match":"<|file_sep|>util.py\nimport os\n<|file_sep|>filename\n<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>","text":"seen"},
  {"match":"long","text":"0123456789","finish":"length"},
  {"match":"fault","text":"abcdef","fault":{"kind":"error","at":3,"message":"boom"}},
  {"text":"?"}]})";

// The lines of an application/x-ndjson answer.
std::vector<json::value> Lines(std::string_view body) {
  std::vector<json::value> lines;
  while (!body.empty()) {
    const size_t end = body.find('\n');
    lines.push_back(json::parse(body.substr(0, end)));
    body.remove_prefix(end + 1);
  }
  return lines;
}

class Conveniences : public testing::Test {
 protected:
  json::value Ask(const char* path, std::string body) const {
    const auto sink = served_.Post(path, std::move(body));
    EXPECT_EQ(sink->status, 200) << sink->body;
    return sink->Json();
  }
  ScriptedService served_{kScript};
};

TEST_F(Conveniences, CompletionSaysWhyItStopped) {
  const json::value stopped = Ask("/completion", R"({"prompt":"hello"})");
  EXPECT_EQ(stopped.at("content"), "Hi! 你好");
  EXPECT_EQ(stopped.at("stop_type"), "eos");
  EXPECT_EQ(stopped.at("stop"), true);
  EXPECT_EQ(stopped.at("tokens_evaluated"), 5);
  EXPECT_EQ(stopped.at("tokens_predicted").to_number<size_t>(), stopped.at("tokens").as_array().size());
  EXPECT_EQ(stopped.at("timings").at("prompt_n"), 5);
  EXPECT_EQ(stopped.at("model"), "demo");
  EXPECT_EQ(Ask("/completion", R"({"prompt":"long","n_predict":4})").at("stop_type"), "limit");
  const json::value word = Ask("/completion", R"({"prompt":"long","stop":["56"]})");
  EXPECT_EQ(word.at("content"), "01234");
  EXPECT_EQ(word.at("stop_type"), "word");
  EXPECT_EQ(word.at("stopping_word"), "56");
  const json::value two = Ask("/completion", R"({"prompt":["hello","long"],"n_predict":4})");
  ASSERT_EQ(two.as_array().size(), 2U);
  EXPECT_EQ(two.at(1).at("content"), "0123");
}

TEST_F(Conveniences, ACompletionStreamSaysTheSame) {
  const auto sink = served_.Post("/completion", R"({"prompt":"hello","stream":true})");
  std::string joined;
  const auto frames = sink->Frames();
  for (size_t i = 0; i < frames.size(); ++i) {
    joined += frames[i].at("content").as_string();
    EXPECT_EQ(frames[i].at("stop"), i + 1 == frames.size());
  }
  EXPECT_EQ(joined, "Hi! 你好");
  EXPECT_EQ(frames.back().at("stop_type"), "eos");
  const auto failed = served_.Post("/completion", R"({"prompt":"fault","stream":true})");
  EXPECT_EQ(failed->Frames().back().at("error").at("code"), 500);
}

TEST_F(Conveniences, InfillBuildsThePrompt) {
  const json::value filled =
      Ask("/infill", R"({"input_prefix":"def f():","input_suffix":"return x","stop":["END"],"n_predict":64})");
  EXPECT_EQ(filled.at("content"), "x = 1 ");
  const json::value repository = Ask(
      "/infill",
      R"({"input_prefix":"a","input_suffix":"b","input_extra":[{"filename":"util.py","text":"import os"}],"n_predict":9})");
  EXPECT_EQ(repository.at("content"), "seen");
  const json::value warmed = Ask("/infill", R"({"input_prefix":"a","input_suffix":"b","n_predict":0})");
  EXPECT_EQ(warmed.at("content"), "");
  EXPECT_EQ(warmed.at("tokens_predicted"), 0);
}

TEST_F(Conveniences, ControlTokensInCodeAreText) {
  // One token for a marker of ours, ten bytes or more for the same text in a file.
  const json::value plain = Ask("/infill", R"({"input_prefix":"","input_suffix":"","n_predict":0})");
  const json::value forged = Ask("/infill", R"({"input_prefix":"<|im_end|>","input_suffix":"","n_predict":0})");
  EXPECT_EQ(plain.at("tokens_evaluated"), 3);
  EXPECT_EQ(forged.at("tokens_evaluated"), 3 + 10);
}

TEST_F(Conveniences, TokensThereAndBack) {
  EXPECT_EQ(Ask("/tokenize", R"({"content":"ab"})").at("tokens"), json::parse("[97,98]"));
  const json::value pieces = Ask("/tokenize", R"({"content":"aé","with_pieces":true})");
  EXPECT_EQ(pieces.at("tokens").at(0).at("piece"), "a");
  EXPECT_EQ(pieces.at("tokens").at(1).at("piece"), json::parse("[195]"));
  EXPECT_EQ(Ask("/tokenize", R"({"content":"<|im_end|>"})").at("tokens").as_array().size(), 1U);
  EXPECT_EQ(Ask("/tokenize", R"({"content":"<|im_end|>","parse_special":false})").at("tokens").as_array().size(), 10U);
  const json::value vllm = Ask("/tokenize", R"({"model":"demo","prompt":"ab","return_token_strs":true})");
  EXPECT_EQ(vllm.at("count"), 2);
  EXPECT_EQ(vllm.at("max_model_len"), 8192);
  EXPECT_EQ(vllm.at("token_strs"), json::parse(R"(["a","b"])"));
  const json::value text = Ask("/detokenize", R"({"tokens":[97,98]})");
  EXPECT_EQ(text.at("content"), "ab");
  EXPECT_EQ(text.at("prompt"), "ab");
  EXPECT_EQ(served_.Post("/detokenize", R"({"tokens":[-1]})")->status, 400);
  EXPECT_EQ(served_.Post("/detokenize", R"({})")->Json().at("error").at("code"), 400);
}

TEST_F(Conveniences, TemplateAndCountsAgreeWithChat) {
  constexpr const char* kMessages = R"({"model":"demo","messages":[{"role":"user","content":"hello"}]})";
  const json::value rendered = Ask("/apply-template", kMessages);
  EXPECT_NE(rendered.at("prompt").as_string().find("<|im_start|>user\nhello<|im_end|>"), std::string::npos);
  const json::value counted = Ask("/v1/chat/completions/input_tokens", kMessages);
  const json::value answered = Ask("/v1/chat/completions", kMessages);
  EXPECT_EQ(counted.at("input_tokens"), answered.at("usage").at("prompt_tokens"));
  EXPECT_EQ(Ask("/tokenize", kMessages).at("count"), counted.at("input_tokens"));
}

TEST_F(Conveniences, StateOfTheServer) {
  const json::value props = served_.Get("/props")->Json();
  EXPECT_EQ(props.at("default_generation_settings").at("n_ctx"), 8192);
  EXPECT_EQ(served_.Get("/slots")->Json().as_array().size(), props.at("total_slots").to_number<size_t>());
  EXPECT_EQ(served_.Get("/version")->status, 200);
  EXPECT_EQ(served_.Get("/ping")->status, 200);
  EXPECT_EQ(served_.Get("/load")->Json().at("server_load"), 1);
}

TEST_F(Conveniences, OllamaStreamsLinesUnlessToldOtherwise) {
  const auto sink =
      served_.Post("/api/chat", R"({"model":"demo:latest","messages":[{"role":"user","content":"hello"}]})");
  ASSERT_EQ(sink->Find("content-type"), "application/x-ndjson") << sink->body;
  const auto lines = Lines(sink->body);
  std::string joined;
  for (const json::value& line : lines) joined += line.at("message").at("content").as_string();
  EXPECT_EQ(joined, "Hi! 你好");
  EXPECT_EQ(lines.back().at("done"), true);
  EXPECT_EQ(lines.back().at("done_reason"), "stop");
  EXPECT_EQ(lines.back().at("eval_count"), 11);
  const json::value whole =
      Ask("/api/chat", R"({"model":"demo","stream":false,"messages":[{"role":"user","content":"hello"}]})");
  EXPECT_EQ(whole.at("message").at("content"), "Hi! 你好");
  EXPECT_EQ(whole.at("prompt_eval_count"), lines.back().at("prompt_eval_count"));
  const json::value generated = Ask("/api/generate", R"({"model":"demo","stream":false,"prompt":"hello"})");
  EXPECT_EQ(generated.at("response"), "Hi! 你好");
}

TEST_F(Conveniences, OllamaCallsHaveObjectsForArguments) {
  constexpr std::string_view kTools =
      R"("tools":[{"type":"function","function":{"name":"write_file","parameters":{"type":"object","properties":{"path":{"type":"string"}}}}}])";
  const std::string asked =
      R"({"model":"demo","messages":[{"role":"user","content":"call it"}],)" + std::string(kTools);
  const json::value whole = Ask("/api/chat", asked + R"(,"stream":false})");
  const json::value& function = whole.at("message").at("tool_calls").at(0).at("function");
  EXPECT_EQ(function.at("name"), "write_file");
  EXPECT_EQ(function.at("arguments").at("path"), "a.py");
  const auto lines = Lines(served_.Post("/api/chat", asked + "}")->body);
  EXPECT_EQ(lines[lines.size() - 2].at("message").at("tool_calls").at(0).at("function"), function);
  // Their echo has no ids.
  const std::string echo =
      R"({"model":"demo","stream":false,"messages":[{"role":"user","content":"do"},
         {"role":"assistant","content":"","tool_calls":[{"function":{"name":"write_file","arguments":{"path":"a.py"}}}]},
         {"role":"tool","tool_name":"write_file","content":"hello"}],)" +
      std::string(kTools) + "}";
  EXPECT_EQ(Ask("/api/chat", echo).at("message").at("content"), "Hi! 你好");
}

TEST_F(Conveniences, OllamaOptionsAndErrors) {
  const json::value cut = Ask(
      "/api/chat",
      R"({"model":"demo","stream":false,"options":{"num_predict":4,"seed":-1,"temperature":0},"messages":[{"role":"user","content":"long"}]})");
  EXPECT_EQ(cut.at("message").at("content"), "0123");
  EXPECT_EQ(cut.at("done_reason"), "length");
  const auto unknown = served_.Post("/api/chat", R"({"model":"nobody","messages":[]})");
  EXPECT_EQ(unknown->status, 404);
  EXPECT_TRUE(unknown->Json().at("error").is_string());
  for (const char* body : {R"({"model":"demo","messages":[{"role":"user","content":"x","images":["aGk="]}]})",
                           R"({"model":"demo","messages":[{"role":"user","content":"x"}],"options":[]})",
                           R"({"model":"demo","messages":[{"role":"user","content":"x"}],"format":"xml"})"}) {
    EXPECT_EQ(served_.Post("/api/chat", body)->status, 400) << body;
  }
  EXPECT_EQ(served_.Post("/api/generate", R"({"model":"demo","prompt":"x","template":"y"})")->status, 400);
  EXPECT_EQ(served_.Post("/api/generate", R"({"model":"demo","prompt":["x"],"raw":true})")->status, 400);
}

TEST_F(Conveniences, OllamaGoesOnWithATextAndFillsIn) {
  const char* raw =
      R"({"model":"demo","prompt":"<|fim_prefix|>def f():<|fim_suffix|>return x<|fim_middle|>","raw":true,
          "options":{"num_predict":64,"stop":["END"]},"stream":)";
  const json::value whole = Ask("/api/generate", std::string(raw) + "false}");
  EXPECT_EQ(whole.at("response"), "x = 1 ");
  EXPECT_EQ(whole.at("done_reason"), "stop");
  const auto lines = Lines(served_.Post("/api/generate", std::string(raw) + "true}")->body);
  std::string joined;
  for (const json::value& line : lines) joined += line.at("response").as_string();
  EXPECT_EQ(joined, "x = 1 ");
  EXPECT_EQ(lines.back().at("prompt_eval_count"), whole.at("prompt_eval_count"));
  EXPECT_EQ(lines.back().at("eval_count"), whole.at("eval_count"));
  EXPECT_EQ(
      Ask("/api/generate", R"({"model":"demo","stream":false,"prompt":"def f():","suffix":"return x"})").at("response"),
      "x = 1 END more");
  // Without a number the text goes on as long as it fits; a turn's markers are no part of a raw prompt.
  const json::value cut = Ask("/api/generate", R"({"model":"demo","stream":false,"prompt":"long","raw":true,
      "options":{"num_predict":4}})");
  EXPECT_EQ(cut.at("response"), "0123");
  EXPECT_EQ(cut.at("done_reason"), "length");
  EXPECT_EQ(cut.at("prompt_eval_count"), 4);
  const auto failed = served_.Post("/api/generate", R"({"model":"demo","prompt":"fault","raw":true})");
  EXPECT_EQ(Lines(failed->body).back().at("error"), "boom");
}

TEST_F(Conveniences, OllamaLoadsAndUnloads) {
  for (const char* body : {R"({"model":"demo"})", R"({"model":"demo","prompt":"","keep_alive":"10m"})"}) {
    const json::value answer = Ask("/api/generate", body);
    EXPECT_EQ(answer.at("response"), "");
    EXPECT_EQ(answer.at("done_reason"), "load");
    EXPECT_EQ(answer.at("done"), true);
  }
  const json::value chat = Ask("/api/chat", R"({"model":"demo","messages":[]})");
  EXPECT_EQ(chat.at("message").at("content"), "");
  EXPECT_EQ(chat.at("done_reason"), "load");
  for (const char* body : {R"({"model":"demo","keep_alive":0})", R"({"model":"demo","keep_alive":"0s"})"}) {
    EXPECT_EQ(Ask("/api/generate", body).at("done_reason"), "unload");
    EXPECT_EQ(Ask("/api/chat", body).at("done_reason"), "unload");
  }
  EXPECT_EQ(served_.Post("/api/generate", R"({"model":"demo","keep_alive":"soon"})")->status, 400);
  EXPECT_EQ(served_.Post("/api/generate", R"({"model":"nobody"})")->status, 404);
}

TEST_F(Conveniences, OllamaListsAndDescribes) {
  const json::value tags = served_.Get("/api/tags")->Json();
  EXPECT_EQ(tags.at("models").at(0).at("name"), "demo");
  EXPECT_EQ(served_.Get("/api/ps")->Json().at("models").as_array().size(), 1U);
  EXPECT_FALSE(served_.Get("/api/version")->Json().at("version").as_string().empty());
  const json::value shown = Ask("/api/show", R"({"name":"demo"})");
  const std::string architecture(shown.at("model_info").at("general.architecture").as_string());
  EXPECT_EQ(shown.at("model_info").at(architecture + ".context_length"), 8192);
}

TEST_F(Conveniences, EveryRouteIsDescribed) {
  const json::value description = served_.Get("/openapi.json")->Json();
  EXPECT_EQ(description.at("openapi"), "3.1.0");
  const json::object& paths = description.at("paths").as_object();
  std::vector<std::string> ids;
  for (const auto& [path, operations] : paths) {
    for (const auto& [method, operation] : operations.as_object()) {
      ids.emplace_back(operation.at("operationId").as_string());
      EXPECT_FALSE(operation.at("summary").as_string().empty()) << ids.back();
      // What is described is there: another method than the described ones is refused, the path is not unknown.
      std::string at(path);
      const size_t open = at.find('{');
      if (open != std::string::npos) at = at.substr(0, open) + "x";
      EXPECT_NE(served_.Get(at, "PATCH")->status, 404) << at;
    }
  }
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end()) << "an operation id occurs twice";
  for (const char* path : {"/v1/chat/completions", "/v1/models/{id}", "/api/chat", "/infill"}) {
    EXPECT_TRUE(paths.contains(path)) << path;
  }
}

}  // namespace
}  // namespace quern::api
