// Writing JSON text by hand: valid UTF-8 in, valid JSON out, slashes and non-ASCII kept as they are.
#pragma once

#include <string>
#include <string_view>

namespace quern {

// Appends text as the inside of a JSON string (no quotes).
void AppendJsonEscaped(std::string& out, std::string_view text);

// text as a JSON string with its quotes.
void AppendJsonString(std::string& out, std::string_view text);
std::string JsonString(std::string_view text);

}  // namespace quern
