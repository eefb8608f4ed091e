// Fuzz target: any bytes as the body of a request of the Responses API, for an answer or for its tokens to be counted.
#include "api/request_fuzz.h"

namespace quern::api {
namespace {

constexpr char kOutput[] = "output";
constexpr char kInputTokens[] = "input_tokens";

const char* EndedStream(const TestSink& sink) {
  const auto frames = sink.EventFrames();
  if (frames.empty() || !frames.back().is_object()) return "a stream without frames";
  if (frames.front().at("type") != "response.created") return "a stream that does not begin";
  const auto& last = frames.back().at("type").as_string();
  return last == "response.completed" || last == "response.incomplete" ? nullptr : "a stream without its end";
}

const FuzzRoute kRoutes[] = {
    {"/v1/responses", Has<kOutput>, EndedStream},
    {"/v1/responses/input_tokens", Has<kInputTokens>, nullptr},
};

}  // namespace
}  // namespace quern::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quern::api;
  return FuzzRequest({"responses_request", kRoutes, HasMessage}, data, size);
}
