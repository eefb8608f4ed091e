// Batches: create, describe, list, cancel. api.md G.7.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> BatchRoutes();

}  // namespace quern::api
