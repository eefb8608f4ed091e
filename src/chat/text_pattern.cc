#include "chat/text_pattern.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "grammar/lark_text.h"

namespace quern::chat {

namespace json = boost::json;

namespace {

// JSON schema means ASCII digits and word characters.
std::string AsciiClasses(std::string_view pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char next = pattern[++i];
    switch (next) {
      case 'd':
        out += "[0-9]";
        break;
      case 'D':
        out += "[^0-9]";
        break;
      case 'w':
        out += "[A-Za-z0-9_]";
        break;
      case 'W':
        out += "[^A-Za-z0-9_]";
        break;
      default:
        out += '\\';
        out += next;
    }
  }
  return out;
}

// Whether a '|' stands outside all brackets, where an anchor beside it would belong to one side only.
bool HasOpenAlternative(std::string_view pattern) {
  int depth = 0;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      ++i;
    } else if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
    } else if (c == '(' || c == ')') {
      depth += c == '(' ? 1 : -1;
    } else if (c == '|' && depth == 0) {
      return true;
    }
  }
  return false;
}

bool EndsWithAnchor(std::string_view pattern) {
  if (!pattern.ends_with('$')) return false;
  size_t n_backslashes = 0;
  while (n_backslashes + 1 < pattern.size() && pattern[pattern.size() - 2 - n_backslashes] == '\\') ++n_backslashes;
  return n_backslashes % 2 == 0;
}

// The regular expression of whole texts in which pattern is found; nothing when it cannot be said.
std::string WholeText(std::string_view pattern) {
  const bool from_start = pattern.starts_with('^');
  if (from_start) pattern.remove_prefix(1);
  const bool to_end = EndsWithAnchor(pattern);
  if (to_end) pattern.remove_suffix(1);
  if ((from_start || to_end) && HasOpenAlternative(pattern)) return "";
  return fmt::format("{}({}){}", from_start ? "" : "(?s:.*)", AsciiClasses(pattern), to_end ? "" : "(?s:.*)");
}

// -1 when it is absent or no count.
int64_t Count(const json::object& schema, std::string_view key) {
  const auto* value = schema.if_contains(key);
  return value != nullptr && value->is_int64() ? std::max<int64_t>(-1, value->get_int64()) : -1;
}

void And(std::string& all, const std::string& one) {
  if (!all.empty()) all += " & ";
  all += one;
}

}  // namespace

bool IsPlainText(std::string_view text) {
  for (const std::string_view tag : {"</parameter>", "</function>", "</tool_call>", "<parameter=", "<tool_call>"}) {
    if (text.find(tag) != std::string_view::npos) return false;
  }
  return true;
}

Result<std::string> TextPattern(const json::object& schema, bool strict, std::string_view parameter) {
  const auto unsupported = [&](std::string_view key) {
    return Error(Code::kUnsupported, fmt::format("'{}' of parameter '{}' cannot be enforced", key, parameter));
  };
  std::string all;
  for (const std::string_view key : {"format", "contentEncoding", "contentMediaType", "not", "allOf", "properties",
                                     "items", "required", "additionalProperties"}) {
    if (strict && schema.contains(key)) return unsupported(key);
  }
  if (const auto* pattern = schema.if_contains("pattern"); pattern != nullptr) {
    const std::string whole = pattern->is_string() ? WholeText(pattern->get_string()) : "";
    if (whole.empty() && strict) return unsupported("pattern");
    if (!whole.empty()) And(all, grammar::LarkRegex(whole));
  }
  for (const std::string_view key : {"minLength", "maxLength"}) {
    if (strict && schema.contains(key) && Count(schema, key) < 0) return unsupported(key);
  }
  const int64_t least = std::max<int64_t>(0, Count(schema, "minLength"));
  const int64_t most = Count(schema, "maxLength");
  if (least > 0 || most >= 0)
    And(all, fmt::format("/(?s:.){{{},{}}}/", least, most >= 0 ? std::to_string(most) : std::string()));
  return all;
}

}  // namespace quern::chat
