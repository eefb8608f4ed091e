// Fuzz target: any bytes as the body of a native DashScope request (by the first byte generation, a stream of it, or
// the tokenizer) or of a Segmind request. One answer each time: 200, or an error of 400 or 404 in the family's shape.
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
  bool segmind = false;
};

const Target kTargets[] = {
    {"/api/v1/services/aigc/text-generation/generation", {}},
    {"/api/v1/services/aigc/text-generation/generation", {{"x-dashscope-sse", "enable"}}},
    {"/api/v1/tokenizer", {}},
    {"/v1/qwen3-coder-plus", {}, true},
};

void Require(bool holds, const char* what, const TestSink& sink) {
  if (holds) return;
  std::fprintf(stderr, "dashscope_request: %s\nstatus %d\n%.2000s\n", what, sink.status, sink.body.c_str());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const ScriptedService served(kScript);
  const Target& target = kTargets[data[0] % std::size(kTargets)];
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto sink = served.Begin(target.path, body, "POST", target.headers);
  sink->Run();
  Require(sink->n_answers == 1, "not exactly one answer", *sink);
  Require(quern::IsValidUtf8(sink->body), "the answer is not UTF-8", *sink);
  if (sink->streamed) {
    Require(sink->status == 200 && !sink->aborted, "a stream that is no 200", *sink);
    Require(sink->body.ends_with("\n\n"), "a stream without its end", *sink);
    return 0;
  }
  Require(sink->status == 200 || sink->status == 400 || sink->status == 404, "an unexpected status", *sink);
  boost::system::error_code error;
  const auto json = boost::json::parse(sink->body, error);
  Require(!error && json.is_object(), "the answer is no JSON object", *sink);
  if (sink->status != 200) {
    const auto& message = json.at(target.segmind ? "error" : "message");
    Require(!message.as_string().empty(), "an error without a message", *sink);
  }
  Require(served.service->metrics().n_active() == 0, "the request is still there", *sink);
  return 0;
}
