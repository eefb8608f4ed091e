// What the turn that is generated has to fit: forced calls, strict functions, the format of its text.
#pragma once

#include <memory>

#include "api/chat_request.h"
#include "api/errors.h"
#include "api/served_model.h"
#include "grammar/grammar.h"

namespace quern::api {

// Null when the turn is free. Compiles, so it may take some tens of milliseconds the first time. Errors: 400 (a format
// or a strict function that cannot be enforced, named; a message to be continued that does not fit).
ApiResult<std::shared_ptr<const grammar::Grammar>> BuildChatGrammar(const ChatRequest& request,
                                                                    const ServedModel& model);

// Model Studio wants the word in a message before it answers in JSON; without it models write blanks for ever. Errors:
// 400 about "messages".
ApiResult<void> CheckJsonIsMentioned(const ChatRequest& request);

}  // namespace quern::api
