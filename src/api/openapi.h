// The OpenAPI 3.1 description of all routes, written from the tables that route.
#pragma once

#include <string>

#include "api/route.h"

namespace quern::api {

// Every operation under every mount; operation ids are the routes' names, with the mount behind them where it is not
// the first. Bodies are described as far as the routes' request_schema says.
std::string OpenApiJson(const RouteTable& table);

}  // namespace quern::api
