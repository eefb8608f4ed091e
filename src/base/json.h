// Reads JSON text that nobody vouches for: bounded in size, depth and number of values, no name twice in one object,
// key order kept. A heavy header (Boost.JSON): include it in .cc files.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <string_view>

#include "base/status.h"

namespace quern {

struct JsonLimits {
  size_t max_bytes = size_t{4} << 20;
  size_t max_depth = 32;                // arrays and objects inside each other
  size_t max_values = size_t{1} << 20;  // values of every kind; each takes up to about 100 bytes of memory
};

// The whole text as one value. Errors: kCorrupt (not JSON, a number beyond a double's range, or a name twice in one
// object: the message has line and column), kExhausted (a limit, named).
Result<boost::json::value> ParseJson(std::string_view text, const JsonLimits& limits = {});

// "null", "a boolean", "an integer", "a number", "a string", "an array", "an object": for messages.
std::string_view JsonKindName(const boost::json::value& value);

}  // namespace quern
