// What llama.cpp's and vLLM's servers offer beside the OpenAI routes: completion, infill, tokens, templates, state.
// api.md H.1, H.2.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> LlamaCppRoutes();

}  // namespace quern::api
