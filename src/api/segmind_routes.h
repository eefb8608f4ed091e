// Segmind's operations: the path names the model, the rest is the OpenAI chat protocol. api.md F.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> SegmindRoutes();

}  // namespace quern::api
