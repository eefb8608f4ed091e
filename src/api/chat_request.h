// The one internal request that every chat dialect makes of its JSON: checked, in plain values.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "api/generation_fields.h"
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

}  // namespace quern::api
