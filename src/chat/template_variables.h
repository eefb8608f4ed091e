// The variables of a chat template as JSON text: messages, tools, add_generation_prompt and what the request adds.
#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "chat/message.h"

namespace quern::chat {

struct VariableLimits {
  size_t n_messages = 10'000;
  size_t depth = 100;  // arrays and objects inside each other, in tools and arguments
  size_t bytes = size_t{64} << 20;
};

struct VariableOptions {
  bool add_generation_prompt = true;
  const boost::json::object* extra = nullptr;
  std::string_view stand_in;  // empty: text as it is; else as literal_guard.h says
  std::string_view end_mark;  // appended to the last message's content, when not empty
};

struct Variables {
  std::string json;
  bool needs_guard;  // some text could act as a control token
};

// Errors: kExhausted (a limit, named).
Result<Variables> WriteVariables(std::span<const Message> messages, std::span<const Tool> tools,
                                 const VariableOptions& options, const VariableLimits& limits = {});

// The messages' order of rendering: tool results follow the order of the calls they answer, because templates show
// neither ids nor names. Results that answer no call of the turn before keep their order behind the others.
std::vector<const Message*> InCallOrder(std::span<const Message> messages);

}  // namespace quern::chat
