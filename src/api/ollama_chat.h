// Ollama's /api/chat and /api/generate: JSON in, lines of JSON out. api.md H.3.
#pragma once

#include <boost/json/object.hpp>
#include <memory>

#include "api/chat_request.h"
#include "api/chat_writer.h"
#include "api/errors.h"

namespace quern::api {

// The model that the body names; a tag `:latest` is dropped. Errors: 400, 404.
ApiResult<std::shared_ptr<const ServedModel>> ReadOllamaModel(boost::json::object& body, const ModelRegistry& models);

// body is consumed and has "model". Errors: 400 naming the field.
ApiResult<ChatRequest> ReadOllamaChat(boost::json::object body, const ServedModel& model, const Limits& limits);
// prompt and system as a conversation of one turn. raw, suffix, template, context and images are refused by name.
ApiResult<ChatRequest> ReadOllamaGenerate(boost::json::object body, const ServedModel& model, const Limits& limits);

enum class OllamaShape { kMessage, kResponse };

// A stream is application/x-ndjson; tool calls come whole, with their arguments as an object.
std::unique_ptr<ChatWriter> NewOllamaWriter(OllamaShape shape);

// "2026-11-21T09:08:54.123Z".
std::string OllamaTime(int64_t unix_ms);

}  // namespace quern::api
