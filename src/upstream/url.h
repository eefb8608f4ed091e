// The base address of an upstream: http://host:8000/v1
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace quern::upstream {

struct Url {
  bool https = false;
  std::string host;  // name or address, without brackets
  uint16_t port = 80;
  std::string path;  // begins with "/" and does not end with one; empty for the root

  bool operator==(const Url&) const = default;

  // What the Host header says: the port only when it is not the scheme's own.
  std::string Authority() const;
  std::string Text() const;
};

// Errors: kInvalidArgument (another scheme, a user or password, a query, a port out of range: the message says which).
Result<Url> ParseUrl(std::string_view text);

}  // namespace quern::upstream
