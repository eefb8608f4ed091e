// The `metadata` of what is kept: up to 16 pairs of strings.
#pragma once

#include <string>

#include "api/json_reader.h"

namespace quern::api {

// As JSON text; "{}" when there is none. Errors: 400 (more than 16 pairs, a key of more than 64 bytes, a value that is
// no string or has more than 512 bytes).
ApiResult<std::string> ReadMetadata(const ObjectReader& body);

}  // namespace quern::api
