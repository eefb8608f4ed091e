#include "chat/tag_match.h"

#include <algorithm>

namespace quern::chat {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool IsBlankOrQuote(char c) { return IsBlank(c) || c == '"' || c == '\''; }

Match Undecided(const Window& window) { return window.final ? Match::kNo : Match::kMore; }

}  // namespace

Match MatchLiteral(const Window& window, size_t at, std::string_view literal) {
  const std::string_view there = window.text.substr(std::min(at, window.text.size()), literal.size());
  if (there == literal) return Match::kYes;
  return literal.starts_with(there) ? Undecided(window) : Match::kNo;
}

Match MatchBlanks(const Window& window, size_t at, size_t& next) {
  next = at;
  while (next < window.text.size() && IsBlank(window.text[next])) {
    if (++next - at > kMaxBlanks) return Match::kNo;
  }
  return next == window.text.size() && !window.final ? Match::kMore : Match::kYes;
}

Match MatchName(const Window& window, size_t at, Name& name) {
  const std::string_view there = window.text.substr(std::min(at, window.text.size()), kMaxName + 1);
  const size_t length = there.find_first_of(">\n<");
  if (length == std::string_view::npos) return there.size() > kMaxName ? Match::kNo : Undecided(window);
  std::string_view text = there.substr(0, length);
  while (!text.empty() && IsBlankOrQuote(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlankOrQuote(text.back())) text.remove_suffix(1);
  if (text.empty()) return Match::kNo;
  const char terminator = there[length];
  name = {.text = text, .end = at + length + (terminator == '<' ? 0 : 1), .terminator = terminator};
  return Match::kYes;
}

}  // namespace quern::chat
