// Anthropic Messages, the events-out half: one message object, or a stream of events. api.md E.3, E.4, E.6.
#pragma once

#include <memory>

#include "api/chat_writer.h"

namespace quern::api {

// For requests of one choice.
std::unique_ptr<ChatWriter> NewAnthropicWriter();

}  // namespace quern::api
