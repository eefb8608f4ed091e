// Writing JSON text by hand: valid UTF-8 in, valid JSON out, non-ASCII kept.
#pragma once

#include <string>
#include <string_view>

namespace quern::chat {

// Appends text as the inside of a JSON string (no quotes).
void AppendJsonEscaped(std::string& out, std::string_view text);

// text as a JSON string with its quotes.
std::string JsonString(std::string_view text);

}  // namespace quern::chat
