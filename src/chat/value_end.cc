#include "chat/value_end.h"

namespace quern::chat {
namespace {

constexpr std::string_view kParameterClose = "</parameter>";
constexpr std::string_view kFunctionClose = "</function>";
constexpr std::string_view kCallClose = "</tool_call>";
constexpr std::string_view kParameterOpen = "<parameter=";
constexpr std::string_view kFunctionOpen = "<function=";
constexpr std::string_view kCallOpen = "<tool_call>";
constexpr int kMaxDoubled = 8;

// <function=NAME> of a tool.
Match MatchToolOpen(const Window& window, size_t at, const ValueRules& rules) {
  const Match opens = MatchLiteral(window, at, kFunctionOpen);
  if (opens != Match::kYes) return opens;
  Name name;
  const Match named = MatchName(window, at + kFunctionOpen.size(), name);
  if (named != Match::kYes) return named;
  return name.terminator == '>' && rules.is_tool(name.text) ? Match::kYes : Match::kNo;
}

Match MatchCallOpen(const Window& window, size_t at, const ValueRules& rules) {
  const Match opens = MatchLiteral(window, at, kCallOpen);
  if (opens != Match::kYes) return opens;
  size_t next = 0;
  const Match blanks = MatchBlanks(window, at + kCallOpen.size(), next);
  return blanks == Match::kYes ? MatchToolOpen(window, next, rules) : blanks;
}

Match MatchNewCall(const Window& window, size_t at, const ValueRules& rules) {
  return Either(MatchToolOpen(window, at, rules), MatchCallOpen(window, at, rules));
}

bool AtEnd(const Window& window, size_t at) { return window.final && at == window.text.size(); }

Match AfterParameterClose(const Window& window, size_t at, bool may_double, const ValueRules& rules) {
  for (int n_doubled = 0; n_doubled < kMaxDoubled; ++n_doubled) {
    size_t next = 0;
    if (const Match blanks = MatchBlanks(window, at, next); blanks != Match::kYes) return blanks;
    if (AtEnd(window, next)) return Match::kYes;
    Match follows = MatchLiteral(window, next, kParameterOpen);
    follows = Either(follows, MatchLiteral(window, next, kFunctionClose));
    follows = Either(follows, MatchLiteral(window, next, kCallClose));
    follows = Either(follows, MatchNewCall(window, next, rules));
    const Match doubled = may_double ? MatchLiteral(window, next, kParameterClose) : Match::kNo;
    if (doubled != Match::kYes) return Either(follows, doubled);
    at = next + kParameterClose.size();
  }
  return Match::kNo;
}

Match AfterFunctionClose(const Window& window, size_t at, const ValueRules& rules) {
  size_t next = 0;
  if (const Match blanks = MatchBlanks(window, at, next); blanks != Match::kYes) return blanks;
  if (AtEnd(window, next)) return Match::kYes;
  return Either(MatchLiteral(window, next, kCallClose), MatchNewCall(window, next, rules));
}

Match AfterCallClose(const Window& window, size_t at, const ValueRules& rules) {
  size_t next = 0;
  if (const Match blanks = MatchBlanks(window, at, next); blanks != Match::kYes) return blanks;
  return AtEnd(window, next) ? Match::kYes : MatchCallOpen(window, next, rules);
}

Match MatchNextParameter(const Window& window, size_t at, const ValueRules& rules) {
  const Match opens = MatchLiteral(window, at, kParameterOpen);
  if (opens != Match::kYes) return opens;
  Name name;
  const Match named = MatchName(window, at + kParameterOpen.size(), name);
  if (named != Match::kYes) return named;
  return name.terminator == '>' && rules.is_next_parameter(name.text) ? Match::kYes : Match::kNo;
}

}  // namespace

Match MatchValueEnd(const Window& window, size_t at, bool on_own_line, const ValueRules& rules, size_t& resume) {
  const bool may_lack_closer = on_own_line || rules.is_inline;
  resume = at;
  Match close = MatchLiteral(window, at, kParameterClose);
  if (close == Match::kYes) {
    resume = at + kParameterClose.size();
    return AfterParameterClose(window, resume, may_lack_closer, rules);
  }
  Match function_close = MatchLiteral(window, at, kFunctionClose);
  if (function_close == Match::kYes) return AfterFunctionClose(window, at + kFunctionClose.size(), rules);
  Match call_close = MatchLiteral(window, at, kCallClose);
  if (call_close == Match::kYes) {
    return on_own_line ? Match::kYes : AfterCallClose(window, at + kCallClose.size(), rules);
  }
  close = Either(close, Either(function_close, call_close));
  if (!may_lack_closer) return close;
  close = Either(close, MatchNextParameter(window, at, rules));
  return Either(close, MatchCallOpen(window, at, rules));
}

}  // namespace quern::chat
