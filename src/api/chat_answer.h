// Runs a chat request on the engine and has a dialect's writer answer it.
#pragma once

#include <memory>

#include "api/chat_request.h"
#include "api/chat_writer.h"
#include "api/exchange.h"
#include "api/served_model.h"

namespace quern::api {

// Renders, encodes, submits, and answers through the exchange in the writer's shape. Strand only; returns at once.
void AnswerChat(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, ChatRequest request,
                std::unique_ptr<ChatWriter> writer);

}  // namespace quern::api
