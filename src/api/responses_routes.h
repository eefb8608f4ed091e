// The operations of the Responses API: answering, what was kept, counting tokens. api.md 0.1, C.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> ResponsesRoutes();

}  // namespace quern::api
