// OpenAI Chat Completions, the JSON-in half: a checked request in plain values. api.md A.1 - A.4, A.9.
#pragma once

#include <string>
#include <vector>

#include "api/exchange.h"
#include "api/generation_fields.h"
#include "chat/chat_format.h"
#include "chat/message.h"

namespace quern::api {

enum class ToolChoice { kAuto, kNone, kRequired, kNamed };

struct ChatRequest {
  GenerationFields fields;
  std::vector<chat::Message> messages;  // not empty; tool results in the order of their calls
  std::vector<chat::Tool> tools;        // after tool_choice.allowed_tools
  ToolChoice tool_choice = ToolChoice::kAuto;
  std::string forced_tool;  // for kNamed
  bool parallel_tool_calls = true;
  bool legacy_functions = false;        // asked with `functions`: answered with function_call
  bool continue_final_message = false;  // the last message is an assistant turn to go on with
  bool add_generation_prompt = true;
  bool logprobs = false;
  int top_logprobs = 0;
  boost::json::object template_kwargs;
};

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
