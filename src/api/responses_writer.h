// OpenAI Responses, the events-out half: one response object, or a stream of events. api.md C.2, C.3.
#pragma once

#include <memory>
#include <string>

#include "api/chat_writer.h"
#include "api/responses_request.h"

namespace quern::api {

// For requests of one choice. The answer is put into the store for the exchange's owner, if the frame asks for it,
// before its end is written.
std::unique_ptr<ChatWriter> NewResponsesWriter(ResponseFrame frame, std::shared_ptr<KeptItems> store);

}  // namespace quern::api
