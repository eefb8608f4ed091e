// OpenAI Chat Completions, the events-out half: one JSON object, or a stream of chunks. api.md A.5, A.6.
#pragma once

#include <memory>

#include "api/exchange.h"
#include "api/openai_chat.h"
#include "api/served_model.h"

namespace quern::api {

// Renders, encodes, submits, and answers through the exchange. Strand only; returns at once.
void AnswerChat(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, ChatRequest request);

}  // namespace quern::api
