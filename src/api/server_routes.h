// The server's own operations: /, /health, /metrics, /openapi.json.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> ServerRoutes();

}  // namespace quern::api
