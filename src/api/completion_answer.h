// OpenAI Completions, the events-out half: text_completion objects, and the chat-shaped answers of /fim/completions.
#pragma once

#include <memory>

#include "api/exchange.h"
#include "api/openai_completions.h"
#include "api/served_model.h"

namespace quern::api {

// Submits and answers through the exchange. Strand only; returns at once.
void AnswerCompletion(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model,
                      CompletionRequest request);

}  // namespace quern::api
