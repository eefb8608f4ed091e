// Reads a value as models write it: strict JSON, or leniently what Python accepts as a literal and what models get
// wrong (single quotes, True / False / None, tuples, a comma too many, line breaks inside strings). The value comes
// back as JSON text with ", " and ": ": numbers keep their digits, so integers of any size stay exact.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quern::chat {

enum class LiteralKind { kNull, kBoolean, kNumber, kString, kArray, kObject };

enum class LiteralSyntax { kJson, kLenient };

struct Literal {
  LiteralKind kind;
  std::string json;
  std::string text;                                          // of a string: its characters
  std::vector<std::pair<std::string, std::string>> members;  // of an object: key and JSON text; the last of equal keys
};

// The whole of text, blanks around it allowed, as one value at most 64 levels deep; nullopt when it is none.
// text: valid UTF-8. NaN, infinities and numbers beyond a double's range are no values.
std::optional<Literal> ReadLiteral(std::string_view text, LiteralSyntax syntax);

}  // namespace quern::chat
