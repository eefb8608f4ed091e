// Ollama's routes under /api. api.md H.3.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> OllamaRoutes();

}  // namespace quern::api
