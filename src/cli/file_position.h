// FILE:LINE[:COL] -> a byte offset.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace quern::cli {

// Counted from 1; column counts characters, not bytes.
struct FilePosition {
  std::string file;
  size_t line;
  std::optional<size_t> column;  // none = the line's end
};

// The file's name may contain colons; the last one or two numbers are the place. Errors: kInvalidArgument.
Result<FilePosition> ParseFilePosition(std::string_view text);

// Where in text (valid UTF-8) the position lies; column n + 1 is behind the n-th character. Line ends are \n or \r\n.
// Errors: kInvalidArgument, with how many lines or columns there are.
Result<size_t> OffsetOf(std::string_view text, const FilePosition& position);

}  // namespace quern::cli
