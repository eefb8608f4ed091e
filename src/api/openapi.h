// The OpenAPI 3.1 description of all routes, written from the tables that route.
#pragma once

#include <string>

#include "api/route.h"

namespace quern::api {

// Every operation under every mount; operation ids are the routes' names, with the mount behind them where it is not
// the first. Bodies are described by the shapes that requests are checked against.
std::string OpenApiJson(const RouteTable& table);

}  // namespace quern::api
