// Fuzz target: any bytes as the body of a request of native DashScope, Segmind, llama.cpp, vLLM or Ollama.
#include "api/request_fuzz.h"

namespace quern::api {
namespace {

const char* EndedStream(const TestSink& sink) {
  return sink.body.ends_with("\n") ? nullptr : "a stream without its end";
}

const FuzzRoute kRoutes[] = {
    {"/api/v1/services/aigc/text-generation/generation", IsJson, EndedStream},
    {"/api/v1/services/aigc/text-generation/generation", IsJson, EndedStream, {{"x-dashscope-sse", "enable"}}},
    {"/api/v1/tokenizer", IsJson, nullptr},
    {"/v1/qwen3-coder-plus", IsJson, EndedStream},
    {"/completion", IsJson, EndedStream},
    {"/infill", IsJson, EndedStream},
    {"/tokenize", IsJson, nullptr},
    {"/detokenize", IsJson, nullptr},
    {"/apply-template", IsJson, nullptr},
    {"/api/chat", IsJson, EndedStream},
    {"/api/generate", IsJson, EndedStream},
    {"/api/show", IsJson, nullptr},
};

}  // namespace
}  // namespace quern::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quern::api;
  return FuzzRequest({"dialect_request", kRoutes, HasMessage}, data, size);
}
