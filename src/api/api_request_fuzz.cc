// Fuzz target: any bytes as the body of a request of OpenAI's family: chat, text completions, filling in.
#include "api/request_fuzz.h"

namespace quern::api {
namespace {

constexpr char kChoices[] = "choices";

const char* EndedStream(const TestSink& sink) {
  if (!sink.body.ends_with("data: [DONE]\n\n")) return "a stream without its end";
  return sink.Frames().empty() ? "a stream without frames" : nullptr;
}

const FuzzRoute kRoutes[] = {
    {"/v1/chat/completions", Has<kChoices>, EndedStream},
    {"/v1/completions", Has<kChoices>, EndedStream},
    {"/v1/fim/completions", Has<kChoices>, EndedStream},
    {"/compatible-mode/v1/chat/completions", Has<kChoices>, EndedStream},
};

}  // namespace
}  // namespace quern::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quern::api;
  return FuzzRequest({"api_request", kRoutes, HasMessage}, data, size);
}
