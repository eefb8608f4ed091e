// Requests of Ollama's /api/chat and /api/generate, the JSON-in half. ollama_writer.h is the other. api.md H.3.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "api/chat_request.h"
#include "api/errors.h"
#include "api/openai_completions.h"

namespace quern::api {

// The model that the body names; a tag `:latest` is dropped. Errors: 400, 404.
ApiResult<std::shared_ptr<const ServedModel>> ReadOllamaModel(boost::json::object& body, const ModelRegistry& models);

// How long the model is to stay; negative = for good, none = as it is set. Errors: 400.
ApiResult<std::optional<std::chrono::milliseconds>> ReadOllamaKeepAlive(const boost::json::object& body);

// body is consumed and has "model". Errors: 400 naming the field.
ApiResult<ChatRequest> ReadOllamaChat(boost::json::object body, const ServedModel& model, const Limits& limits);
// prompt and system as a conversation of one turn. template, context and images are refused by name.
ApiResult<ChatRequest> ReadOllamaGenerate(boost::json::object body, const ServedModel& model, const Limits& limits);

// True when /api/generate is asked to go on with a text (`raw`) or to fill in before one (`suffix`): no conversation.
ApiResult<bool> IsOllamaText(const boost::json::object& body);
// Such a request; fill-in-the-middle forms as /v1/completions takes them, as many tokens as fit unless said otherwise.
ApiResult<CompletionRequest> ReadOllamaText(boost::json::object body, const ServedModel& model, const Limits& limits);

}  // namespace quern::api
