// Batches: create, describe, list, cancel, and the dry run's answers. api.md G.7.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> BatchRoutes();

}  // namespace quern::api
