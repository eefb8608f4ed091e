// OpenAI Chat Completions, the JSON-in half: a checked request in plain values. api.md A.1 - A.4, A.9.
#pragma once

#include <vector>

#include "api/chat_request.h"
#include "api/exchange.h"

namespace quern::api {

// Errors: 400 naming the field.
ApiResult<ChatRequest> ReadChatRequest(const ObjectReader& body, const ServedModel& model, const Limits& limits,
                                       RoutePrefix prefix);

// `messages` -> plain values. last_is_partial: the last message carries partial or prefix.
struct ReadMessages {
  std::vector<chat::Message> messages;
  bool last_is_partial = false;
};
ApiResult<ReadMessages> ReadChatMessages(const ObjectReader& body, const Limits& limits);

// tools, functions, tool_choice, function_call, parallel_tool_calls.
ApiResult<void> ReadChatTools(const ObjectReader& body, const Limits& limits, RoutePrefix prefix, ChatRequest& request);

}  // namespace quern::api
