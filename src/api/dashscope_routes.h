// The operations of the native DashScope family: text generation, tokenizer, tasks, models. api.md 0.1, D.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> DashScopeRoutes();

}  // namespace quern::api
