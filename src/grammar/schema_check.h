// Which JSON schemas can be enforced while decoding. What cannot is refused by the keyword's name and place.
#pragma once

#include <boost/json/value.hpp>

#include "base/status.h"

namespace quern::grammar {

struct SchemaLimits {
  int max_depth = 64;           // schemas inside each other
  size_t max_schemas = 20'000;  // in one document
};

// Errors: kInvalidArgument (it is no schema: the message has the place, as in "properties.a"), kUnsupported (a keyword
// that is not enforced, named with its place), kExhausted (a limit of SchemaLimits).
Result<void> CheckSchema(const boost::json::value& schema, const SchemaLimits& limits = {});

}  // namespace quern::grammar
