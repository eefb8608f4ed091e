// What every backend demands of a request before it enters a queue.
#pragma once

#include "engine/engine.h"

namespace quern::engine {

// Errors: kInvalidArgument; the message names the field, the value seen and the range allowed. A prompt that does not
// fit gives all three numbers: its tokens, the context's, and how many are too many.
Result<void> CheckRequest(const GenerateRequest& request, const BackendInfo& info, const EngineLimits& limits);

// How many tokens a checked request may sample: max_tokens, or what the context leaves.
int MaxNewTokens(const GenerateRequest& request, const BackendInfo& info);

// When a request submitted now has to be over.
std::chrono::steady_clock::time_point DeadlineOf(const GenerateRequest& request, const EngineLimits& limits);

}  // namespace quern::engine
