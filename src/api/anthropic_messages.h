// Anthropic Messages, the JSON-in half: a checked request in plain values. api.md E.2, E.10.
#pragma once

#include "api/chat_request.h"
#include "api/errors.h"
#include "api/json_reader.h"
#include "api/limits.h"
#include "api/served_model.h"

namespace quern::api {

// Also of count_tokens, whose body is the same. Paths in errors are written as Anthropic does: messages.2.content.0.
// Errors: 400 naming the field.
ApiResult<ChatRequest> ReadAnthropicRequest(const ObjectReader& body, const ServedModel& model, const Limits& limits);

// `system` and `messages` into request.messages; continue_final_message when the last one is the assistant's (prefill).
ApiResult<void> ReadAnthropicTurns(const ObjectReader& body, const Limits& limits, ChatRequest& request);

// `tools` and `tool_choice`.
ApiResult<void> ReadAnthropicTools(const ObjectReader& body, const Limits& limits, ChatRequest& request);

}  // namespace quern::api
