// The body of a POST as JSON, for every dialect.
#pragma once

#include <boost/json/value.hpp>

#include "api/errors.h"
#include "api/exchange.h"

namespace quern::api {

// Checks content-type and charset, parses within the limits, frees the text, and checks the route's shape. The value is
// an object. Errors: 400 (content type, charset, syntax, depth, not an object, a field that does not fit the shape).
ApiResult<boost::json::value> ReadBody(Exchange& exchange);

}  // namespace quern::api
