// UTF-8 by hand where we must never trust the bytes. Invalid means: overlong, surrogate, above U+10FFFF, cut short.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quern {

// One decoded character: its code point and how many bytes it took. An invalid byte decodes to code_point -1, length 1.
struct Utf8Char {
  int32_t code_point;
  int length;
};

// Decodes the character at text[at]; at < text.size().
Utf8Char DecodeUtf8(std::string_view text, size_t at);

// Appends code_point (a valid scalar value) to out.
void AppendUtf8(std::string& out, int32_t code_point);

bool IsValidUtf8(std::string_view text);

// How many bytes at the end of text are the beginning of a character that more bytes could still complete (0..3).
size_t IncompleteUtf8Suffix(std::string_view text);

// text with every invalid byte replaced by U+FFFD, one per maximal ill-formed subpart (as WHATWG and Python do).
std::string ReplaceInvalidUtf8(std::string_view text);

}  // namespace quern
