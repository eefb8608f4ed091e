// Values of a request's query string.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quern::api {

// First value of this name, decoded (%XX, and + for a blank); nothing when the name does not occur. No validation:
// these are bytes from outside.
std::optional<std::string> QueryValue(std::string_view query, std::string_view name);

// All of them in order, names decoded too.
std::vector<std::pair<std::string, std::string>> QueryPairs(std::string_view query);

// A decimal number without sign, at most 18 digits.
std::optional<int64_t> ParseCount(std::string_view text);

}  // namespace quern::api
