#include "grammar/lark_text.h"

#include <fmt/core.h>

#include "base/json_text.h"

namespace quern::grammar {

std::string LarkString(std::string_view text) {
  // Lark reads a string like JSON, except that a DEL has to be escaped too.
  std::string out;
  for (const char c : JsonString(text)) {
    if (c == '\x7f') {
      out += "\\u007f";
    } else {
      out += c;
    }
  }
  return out;
}

std::string LarkRegexText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ' ||
                       c == '_' || static_cast<unsigned char>(c) >= 0x80;
    if (plain) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string LarkRegex(std::string_view pattern) {
  std::string out = "/";
  bool escaped = false;
  for (const char c : pattern) {
    if (c == '/' && !escaped) out += '\\';
    out += c;
    escaped = c == '\\' && !escaped;
  }
  return out + "/";
}

GrammarSource ChoiceGrammar(std::span<const std::string> choices) {
  std::string text = "start: ";
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) text += "\n  | ";
    text += LarkString(choices[i]);
  }
  return {GrammarKind::kLark, text + "\n"};
}

}  // namespace quern::grammar
