// The models served here, as JSON that OpenAI and Anthropic clients read alike (api.md A.7, E.8). Route handlers;
// errors take the shape of the route's dialect.
#pragma once

#include "api/route.h"

namespace quern::api {

// Everything in one page: limits and cursors in the query are not needed.
void ListModels(const Call& call);
// call.params[0] is the id. 404 when nothing is served under it.
void GetModel(const Call& call);

}  // namespace quern::api
