#include "cli/file_position.h"

#include <fmt/core.h>

#include <charconv>

#include "base/utf8.h"

namespace quern::cli {
namespace {

// Cuts ":<number>" off the end of text.
std::optional<size_t> TakeNumber(std::string_view& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view digits = text.substr(colon + 1);
  size_t value = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (ec != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  text = text.substr(0, colon);
  return value;
}

size_t CountCharacters(std::string_view text) {
  size_t n = 0;
  for (size_t at = 0; at < text.size(); at += static_cast<size_t>(DecodeUtf8(text, at).length)) ++n;
  return n;
}

}  // namespace

Result<FilePosition> ParseFilePosition(std::string_view text) {
  std::string_view rest = text;
  const auto last = TakeNumber(rest);
  std::string_view shorter = rest;
  const auto first = last ? TakeNumber(shorter) : std::nullopt;
  FilePosition position;
  if (first) {
    position = {std::string(shorter), *first, last};
  } else if (last) {
    position = {std::string(rest), *last, std::nullopt};
  }
  if (position.file.empty())
    return Error(Code::kInvalidArgument, fmt::format("the place must be FILE:LINE or FILE:LINE:COL, not \"{}\"", text));
  if (position.line == 0 || position.column == 0)
    return Error(Code::kInvalidArgument, fmt::format("lines and columns count from 1, in \"{}\"", text));
  return position;
}

Result<size_t> OffsetOf(std::string_view text, const FilePosition& position) {
  size_t begin = 0;
  for (size_t line = 1; line < position.line; ++line) {
    const size_t newline = text.find('\n', begin);
    if (newline == std::string_view::npos)
      return Error(Code::kInvalidArgument,
                   fmt::format("{} has {} lines, there is no line {}", position.file, line, position.line));
    begin = newline + 1;
  }
  std::string_view line = text.substr(begin, text.find('\n', begin) - begin);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!position.column) return begin + line.size();
  size_t at = 0;
  for (size_t column = 1; column < *position.column; ++column) {
    if (at >= line.size())
      return Error(Code::kInvalidArgument,
                   fmt::format("line {} of {} has {} characters, the last column is {}, not {}", position.line,
                               position.file, CountCharacters(line), CountCharacters(line) + 1, *position.column));
    at += static_cast<size_t>(DecodeUtf8(line, at).length);
  }
  return begin + at;
}

}  // namespace quern::cli
