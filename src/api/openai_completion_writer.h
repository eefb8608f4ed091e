// OpenAI Completions, the events-out half, in both shapes: text_completion, and chat-shaped for /fim/completions.
// api.md B.
#pragma once

#include <memory>

#include "api/completion_writer.h"

namespace quern::api {

std::unique_ptr<CompletionWriter> NewOpenAiCompletionWriter();

}  // namespace quern::api
