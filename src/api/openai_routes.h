// The operations of the OpenAI family: chat, completions, fill-in-the-middle, models. api.md 0.1, A, B.
#pragma once

#include <span>

#include "api/route.h"

namespace quern::api {

std::span<const Route> OpenAiRoutes();

// Where the OpenAI family is mounted.
inline constexpr Mount kOpenAiMounts[] = {{"/v1", RoutePrefix::kV1},
                                          {"", RoutePrefix::kBare},
                                          {"/compatible-mode/v1", RoutePrefix::kCompatibleMode},
                                          {"/openai/v1", RoutePrefix::kOpenAi}};

}  // namespace quern::api
