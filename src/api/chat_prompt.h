// Messages and tools -> the prompt's tokens, by the model's template and tokenizer.
#pragma once

#include <string>
#include <vector>

#include "api/chat_request.h"
#include "api/errors.h"
#include "api/served_model.h"

namespace quern::api {

struct ChatPrompt {
  std::string text;
  std::vector<engine::TokenId> tokens;  // not empty
  std::string turn_prefix;              // text that already belongs to the turn that is generated
};

// needs_room: the prompt and one more token must fit the context; without it any length is answered (counting tokens).
// Errors: 400 (the template refused the messages, or the prompt is too long).
ApiResult<ChatPrompt> BuildChatPrompt(const ChatRequest& request, const ServedModel& model, bool needs_room);

}  // namespace quern::api
