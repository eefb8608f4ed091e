// OpenAI Chat Completions, the events-out half: one JSON object, or a stream of chunks. api.md A.5, A.6.
#pragma once

#include <memory>

#include "api/chat_writer.h"

namespace quern::api {

std::unique_ptr<ChatWriter> NewOpenAiChatWriter();

}  // namespace quern::api
