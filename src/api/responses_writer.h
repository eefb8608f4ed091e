// OpenAI Responses, the events-out half: one response object, or a stream of events. api.md C.2, C.3.
#pragma once

#include <memory>
#include <string>

#include "api/chat_writer.h"
#include "api/responses_request.h"

namespace quern::api {

// For requests of one choice. owner: whose answer it is; it is put into the store, if the frame asks for it, before its
// end is written.
std::unique_ptr<ChatWriter> NewResponsesWriter(ResponseFrame frame, std::shared_ptr<ResponseStore> store,
                                               std::string owner);

}  // namespace quern::api
