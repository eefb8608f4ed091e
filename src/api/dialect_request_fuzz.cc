// Fuzz target: any bytes as the body of a request of the dialects beside OpenAI's, by the first byte: native DashScope,
// Segmind, llama.cpp, vLLM, Ollama. One answer each time: 200, or an error of 400 or 404 with a message. Never a 500.
#include <boost/json/parse.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/test_sink.h"
#include "base/utf8.h"

namespace {

using quern::api::Header;
using quern::api::ScriptedService;
using quern::api::TestSink;

constexpr std::string_view kScript = R"({"context_length":4096,"rules":[
  {"match":"call","text":"x<tool_call>\n<function=write_file>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>y"},
  {"text":"Hi 你好 🙂, one two three."}]})";

struct Target {
  const char* path;
  std::vector<Header> headers;
};

// New ones at the end: the corpus names them by number.
const Target kTargets[] = {
    {"/api/v1/services/aigc/text-generation/generation", {}},
    {"/api/v1/services/aigc/text-generation/generation", {{"x-dashscope-sse", "enable"}}},
    {"/api/v1/tokenizer", {}},
    {"/v1/qwen3-coder-plus", {}},
    {"/completion", {}},
    {"/infill", {}},
    {"/tokenize", {}},
    {"/detokenize", {}},
    {"/apply-template", {}},
    {"/api/chat", {}},
    {"/api/generate", {}},
    {"/api/show", {}},
};

// message, error or error.message.
bool HasMessage(const boost::json::object& body) {
  const boost::json::value* message = body.if_contains("message");
  if (message == nullptr) message = body.if_contains("error");
  if (message != nullptr && message->is_object()) message = message->get_object().if_contains("message");
  return message != nullptr && message->is_string() && !message->get_string().empty();
}

void Require(bool holds, const char* what, const TestSink& sink) {
  if (holds) return;
  std::fprintf(stderr, "dialect_request: %s\nstatus %d\n%.2000s\n", what, sink.status, sink.body.c_str());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const ScriptedService served = [] {
    quern::api::ServiceOptions options;
    // Small enough that no input makes a long answer.
    options.limits.max_choices = 4;
    return ScriptedService(kScript, options);
  }();
  const Target& target = kTargets[data[0] % std::size(kTargets)];
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto sink = served.Begin(target.path, body, "POST", target.headers);
  sink->Run();
  Require(sink->n_answers == 1, "not exactly one answer", *sink);
  Require(quern::IsValidUtf8(sink->body), "the answer is not UTF-8", *sink);
  if (sink->streamed) {
    Require(sink->status == 200 && !sink->aborted, "a stream that is no 200", *sink);
    Require(sink->body.ends_with("\n"), "a stream without its end", *sink);
    return 0;
  }
  if (quern::api::ScriptDidNotFit(*sink)) return 0;
  Require(sink->status == 200 || sink->status == 400 || sink->status == 404, "an unexpected status", *sink);
  boost::system::error_code error;
  const auto json = boost::json::parse(sink->body, error);
  Require(!error && (json.is_object() || json.is_array()), "the answer is no JSON", *sink);
  if (sink->status != 200) Require(HasMessage(json.as_object()), "an error without a message", *sink);
  Require(served.service->metrics().n_active() == 0, "the request is still there", *sink);
  return 0;
}
