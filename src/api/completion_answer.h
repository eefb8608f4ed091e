// Runs a text completion on the engine and has a dialect's writer answer it.
#pragma once

#include <memory>

#include "api/completion_writer.h"
#include "api/exchange.h"
#include "api/openai_completions.h"
#include "api/served_model.h"

namespace quern::api {

// Submits, and answers through the exchange in the writer's shape. Strand only; returns at once.
void AnswerCompletion(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model,
                      CompletionRequest request, std::unique_ptr<CompletionWriter> writer);

}  // namespace quern::api
