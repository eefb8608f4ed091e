// Files: upload, list, describe, read, delete. api.md G.7.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> FileRoutes();

}  // namespace quern::api
