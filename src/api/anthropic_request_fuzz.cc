// Fuzz target: any bytes as the body of a Messages request, for an answer or for its tokens to be counted.
#include "api/request_fuzz.h"

namespace quern::api {
namespace {

constexpr char kContent[] = "content";
constexpr char kInputTokens[] = "input_tokens";

const char* EndedStream(const TestSink& sink) {
  const auto frames = sink.EventFrames();
  if (frames.empty() || !frames.back().is_object()) return "a stream without frames";
  if (frames.front().at("type") != "message_start") return "a stream that does not begin";
  return frames.back().at("type") == "message_stop" ? nullptr : "a stream without its end";
}

const char* TypedError(const TestSink& sink) {
  return sink.Json().at("type") == "error" ? HasMessage(sink) : "an error of another type";
}

const FuzzRoute kRoutes[] = {
    {"/anthropic/v1/messages", Has<kContent>, EndedStream},
    {"/v1/messages/count_tokens", Has<kInputTokens>, nullptr},
};

}  // namespace
}  // namespace quern::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quern::api;
  return FuzzRequest({"anthropic_request", kRoutes, TypedError}, data, size);
}
