// Fuzz target: any bytes as the JSON body of a request, by the first byte for chat, text completions or filling in,
// under each prefix. The scripted backend answers what is accepted. Whatever the bytes are, there is one answer; it is
// a 200 with whole JSON or a stream that ends properly, or an error of 400 or 404 with a message. Never a 500.
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

using quern::api::ScriptedService;
using quern::api::TestSink;

constexpr std::string_view kScript = R"({"context_length":4096,"rules":[
  {"match":"call","text":"x<tool_call>\n<function=write_file>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>y"},
  {"text":"Hi 你好 🙂, one two three."}]})";

constexpr const char* kPaths[] = {"/v1/chat/completions", "/v1/completions", "/v1/fim/completions",
                                  "/compatible-mode/v1/chat/completions"};

void Require(bool holds, const char* what, const TestSink& sink) {
  if (holds) return;
  std::fprintf(stderr, "api_request: %s\nstatus %d\n%.2000s\n", what, sink.status, sink.body.c_str());
  std::abort();
}

const ScriptedService& Served() {
  static const ScriptedService served = [] {
    quern::api::ServiceOptions options;
    // Small enough that no input makes a long answer.
    options.limits.max_choices = 4;
    return ScriptedService(kScript, options);
  }();
  return served;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto sink = Served().Post(kPaths[data[0] % std::size(kPaths)], body);
  Require(sink->n_answers == 1, "not exactly one answer", *sink);
  Require(quern::IsValidUtf8(sink->body), "the answer is not UTF-8", *sink);
  if (sink->streamed) {
    Require(sink->status == 200 && !sink->aborted, "a stream that is no 200", *sink);
    Require(sink->body.ends_with("data: [DONE]\n\n"), "a stream without its end", *sink);
    Require(!sink->Frames().empty(), "a stream without frames", *sink);
    return 0;
  }
  if (quern::api::ScriptDidNotFit(*sink)) return 0;
  Require(sink->status == 200 || sink->status == 400 || sink->status == 404, "an unexpected status", *sink);
  boost::system::error_code error;
  const auto json = boost::json::parse(sink->body, error);
  Require(!error && json.is_object(), "the answer is no JSON object", *sink);
  if (sink->status == 200) {
    Require(json.as_object().contains("choices"), "an answer without choices", *sink);
  } else {
    Require(!json.at("error").at("message").as_string().empty(), "an error without a message", *sink);
  }
  Require(Served().service->metrics().n_active() == 0, "the request is still there", *sink);
  return 0;
}
