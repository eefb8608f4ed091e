// Fuzz target: any bytes as the JSON body of a Messages request, by the first byte for an answer or for its tokens to
// be counted. The scripted backend answers what is accepted. Whatever the bytes are, there is one answer; it is a 200
// with a whole message, a count or a stream that ends properly, or an error of 400 or 404 in Anthropic's shape.
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

void Require(bool holds, const char* what, const TestSink& sink) {
  if (holds) return;
  std::fprintf(stderr, "anthropic_request: %s\nstatus %d\n%.2000s\n", what, sink.status, sink.body.c_str());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const ScriptedService served(kScript);
  const bool count = data[0] % 2 == 1;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto sink = served.Post(count ? "/v1/messages/count_tokens" : "/anthropic/v1/messages", body);
  Require(sink->n_answers == 1, "not exactly one answer", *sink);
  Require(quern::IsValidUtf8(sink->body), "the answer is not UTF-8", *sink);
  Require(served.service->metrics().n_active() == 0, "the request is still there", *sink);
  if (sink->streamed) {
    Require(sink->status == 200 && !sink->aborted, "a stream that is no 200", *sink);
    const auto frames = sink->EventFrames();
    Require(!frames.empty() && frames.back().is_object(), "a stream without frames", *sink);
    Require(frames.front().at("type") == "message_start", "a stream that does not begin", *sink);
    Require(frames.back().at("type") == "message_stop", "a stream without its end", *sink);
    return 0;
  }
  if (quern::api::ScriptDidNotFit(*sink)) return 0;
  Require(sink->status == 200 || sink->status == 400 || sink->status == 404, "an unexpected status", *sink);
  boost::system::error_code error;
  const auto json = boost::json::parse(sink->body, error);
  Require(!error && json.is_object(), "the answer is no JSON object", *sink);
  if (sink->status == 200) {
    Require(json.as_object().contains(count ? "input_tokens" : "content"), "an answer without its content", *sink);
  } else {
    Require(json.at("type") == "error" && !json.at("error").at("message").as_string().empty(),
            "an error without a message", *sink);
  }
  return 0;
}
