// Recognising the tags of tool calls in text of which more may come. Every answer is yes, no, or "more text decides";
// an answer other than the last never changes when more text arrives.
#pragma once

#include <cstddef>
#include <string_view>

namespace quern::chat {

enum class Match { kNo, kYes, kMore };

// Blanks between two tags, bytes of a name in a tag: beyond these the text is no call.
inline constexpr size_t kMaxBlanks = 256;
inline constexpr size_t kMaxName = 256;

// The text that is there, and whether no more will come.
struct Window {
  std::string_view text;
  bool final;
};

// literal at text[at].
Match MatchLiteral(const Window& window, size_t at, std::string_view literal);

// kYes: next is the first place from at on that is no blank, or the end when the window is final (next == text.size()).
// kNo: more blanks than we wait for.
Match MatchBlanks(const Window& window, size_t at, size_t& next);

// A name from at up to '>', a line break or '<'. The name is without blanks and quotes around it, end is behind
// '>' or the line break, at the '<'. kNo: no such end, or nothing left of the name.
struct Name {
  std::string_view text;
  size_t end;
  char terminator;
};
Match MatchName(const Window& window, size_t at, Name& name);

// The first answer other than no, as for a chain of `or`: kYes when any is yes, else kMore when any is undecided.
inline Match Either(Match a, Match b) {
  if (a == Match::kYes || b == Match::kYes) return Match::kYes;
  return a == Match::kMore || b == Match::kMore ? Match::kMore : Match::kNo;
}

}  // namespace quern::chat
