// Answers of Ollama's /api/chat and /api/generate: a stream is application/x-ndjson, a line for every event. api.md
// H.3.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "api/chat_writer.h"
#include "api/completion_writer.h"

namespace quern::api {

enum class OllamaShape { kMessage, kResponse };

// Tool calls come whole, with their arguments as an object.
std::unique_ptr<ChatWriter> NewOllamaWriter(OllamaShape shape);

// Of requests with one prompt and one choice (ReadOllamaText makes no others).
std::unique_ptr<CompletionWriter> NewOllamaTextWriter();

// "2026-11-21T09:08:54.123Z".
std::string OllamaTime(int64_t unix_ms);

}  // namespace quern::api
