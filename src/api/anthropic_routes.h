// The operations of Anthropic Messages: messages, counting tokens, models. api.md 0.1, E.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> AnthropicRoutes();

}  // namespace quern::api
