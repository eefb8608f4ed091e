// DashScope native text generation, the events-out half: one JSON object, or frames of server-sent events. api.md D.3,
// D.4, D.5.
#pragma once

#include <memory>

#include "api/chat_writer.h"
#include "api/dashscope_generation.h"

namespace quern::api {

// In a frame: no blank behind `id:`, `event:` and `data:` (the SDKs compare the raw text), one line of data, ids from
// 1, usage and request id in each. incremental: frames hold what is new, else all text and arguments so far.
std::unique_ptr<ChatWriter> NewDashScopeWriter(DashScopeResult result, bool incremental);

}  // namespace quern::api
