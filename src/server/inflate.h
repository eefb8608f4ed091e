// Removes gzip and deflate from request bodies, never beyond a cap.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace quern::server {

// coding: gzip, x-gzip, deflate (zlib or raw), identity or empty. Errors: kUnsupported (another coding), kCorrupt (bad
// or truncated data), kExhausted (more than max_bytes come out).
Result<std::string> DecodeBody(std::string body, std::string_view coding, size_t max_bytes);

}  // namespace quern::server
