#include "chat/literal_reader.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/json_text.h"
#include "base/utf8.h"

namespace quern::chat {
namespace {

constexpr int kMaxDepth = 64;
constexpr int32_t kReplacement = 0xFFFD;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

class Reader {
 public:
  Reader(std::string_view text, LiteralSyntax syntax) : text_(text), lenient_(syntax == LiteralSyntax::kLenient) {}

  std::optional<Literal> Whole() {
    std::optional<Literal> value = Value(0);
    SkipBlanks();
    if (!value || at_ != text_.size()) return std::nullopt;
    return value;
  }

 private:
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool Take(char c) {
    if (Peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  void SkipBlanks() {
    while (Peek() == ' ' || Peek() == '\t' || Peek() == '\n' || Peek() == '\r') ++at_;
  }

  std::optional<Literal> Value(int depth);
  std::optional<Literal> Object(int depth);
  std::optional<Literal> Array(int depth, char close);
  std::optional<Literal> Number();
  std::optional<Literal> String();
  std::optional<Literal> Word();
  bool Escape(std::string& out);
  bool Hex(int n_digits, int32_t& code);
  bool UnicodeEscape(int n_digits, std::string& out);

  std::string_view text_;
  size_t at_ = 0;
  bool lenient_;
};

std::optional<Literal> Reader::Value(int depth) {
  if (depth > kMaxDepth) return std::nullopt;
  SkipBlanks();
  const char c = Peek();
  if (c == '{') return Object(depth);
  if (c == '[') return Array(depth, ']');
  if (c == '(' && lenient_) return Array(depth, ')');
  if (c == '"' || (c == '\'' && lenient_)) return String();
  if (IsDigit(c) || c == '-' || (lenient_ && (c == '+' || c == '.'))) return Number();
  return Word();
}

std::optional<Literal> Reader::Object(int depth) {
  Literal object{.kind = LiteralKind::kObject};
  std::unordered_map<std::string, size_t> seen;
  ++at_;
  SkipBlanks();
  while (!Take('}')) {
    if (!object.members.empty()) {
      if (!Take(',')) return std::nullopt;
      SkipBlanks();
      if (lenient_ && Take('}')) break;
    }
    std::optional<Literal> key = Value(depth + 1);
    if (!key || key->kind != LiteralKind::kString) return std::nullopt;
    SkipBlanks();
    if (!Take(':')) return std::nullopt;
    std::optional<Literal> value = Value(depth + 1);
    if (!value) return std::nullopt;
    const auto [place, is_new] = seen.try_emplace(key->text, object.members.size());
    if (is_new) {
      object.members.emplace_back(std::move(key->text), std::move(value->json));
    } else {
      object.members[place->second].second = std::move(value->json);
    }
    SkipBlanks();
  }
  object.json += '{';
  for (const auto& [key, value] : object.members) {
    if (object.json.size() > 1) object.json += ", ";
    object.json += JsonString(key);
    object.json += ": ";
    object.json += value;
  }
  object.json += '}';
  return object;
}

std::optional<Literal> Reader::Array(int depth, char close) {
  Literal array{.kind = LiteralKind::kArray};
  array.json += '[';
  ++at_;
  SkipBlanks();
  bool comma = false;
  while (!Take(close)) {
    if (array.json.size() > 1) {
      if (!Take(',')) return std::nullopt;
      comma = true;
      SkipBlanks();
      if (lenient_ && Take(close)) break;
      array.json += ", ";
    }
    const std::optional<Literal> item = Value(depth + 1);
    if (!item) return std::nullopt;
    array.json += item->json;
    SkipBlanks();
  }
  // "(1)" is a number in brackets, not a tuple.
  if (close == ')' && !comma && array.json.size() > 1) return std::nullopt;
  array.json += ']';
  return array;
}

std::optional<Literal> Reader::Number() {
  std::string json;
  if (lenient_) Take('+');
  if (Take('-')) json += '-';
  const size_t first = at_;
  while (IsDigit(Peek())) json += text_[at_++];
  const size_t n_whole = at_ - first;
  if (n_whole > 1 && text_[first] == '0') return std::nullopt;
  if (n_whole == 0) {
    if (!lenient_ || Peek() != '.') return std::nullopt;
    json += '0';
  }
  if (Take('.')) {
    const size_t fraction = at_;
    json += '.';
    while (IsDigit(Peek())) json += text_[at_++];
    if (at_ == fraction) {
      if (!lenient_ || n_whole == 0) return std::nullopt;
      json += '0';
    }
  }
  if (Peek() == 'e' || Peek() == 'E') {
    json += text_[at_++];
    if (Peek() == '+' || Peek() == '-') json += text_[at_++];
    const size_t exponent = at_;
    while (IsDigit(Peek())) json += text_[at_++];
    if (at_ == exponent) return std::nullopt;
  }
  // What overflows a double is an infinity or an error to whoever reads it next.
  double unused = 0;
  if (std::from_chars(json.data(), json.data() + json.size(), unused).ec != std::errc()) return std::nullopt;
  return Literal{.kind = LiteralKind::kNumber, .json = std::move(json)};
}

std::optional<Literal> Reader::Word() {
  struct Known {
    std::string_view word;
    LiteralKind kind;
    std::string_view json;
    bool is_json;
  };
  static constexpr Known kKnown[] = {
      {"true", LiteralKind::kBoolean, "true", true},    {"false", LiteralKind::kBoolean, "false", true},
      {"null", LiteralKind::kNull, "null", true},       {"True", LiteralKind::kBoolean, "true", false},
      {"False", LiteralKind::kBoolean, "false", false}, {"None", LiteralKind::kNull, "null", false}};
  for (const Known& known : kKnown) {
    if ((known.is_json || lenient_) && text_.substr(at_).starts_with(known.word)) {
      at_ += known.word.size();
      return Literal{.kind = known.kind, .json = std::string(known.json)};
    }
  }
  return std::nullopt;
}

std::optional<Literal> Reader::String() {
  Literal string{.kind = LiteralKind::kString};
  const char quote = text_[at_++];
  while (true) {
    if (at_ >= text_.size()) return std::nullopt;
    const char c = text_[at_++];
    if (c == quote) break;
    if (c == '\\') {
      if (!Escape(string.text)) return std::nullopt;
    } else if (static_cast<unsigned char>(c) < 0x20 && !lenient_) {
      return std::nullopt;
    } else {
      string.text += c;
    }
  }
  string.json = JsonString(string.text);
  return string;
}

bool Reader::Hex(int n_digits, int32_t& code) {
  code = 0;
  for (int i = 0; i < n_digits; ++i) {
    const int digit = HexDigit(Peek());
    if (digit < 0 || code > 0x10FFFF) return false;
    code = code * 16 + digit;
    ++at_;
  }
  return true;
}

bool Reader::UnicodeEscape(int n_digits, std::string& out) {
  int32_t code = 0;
  if (!Hex(n_digits, code)) return false;
  if (code >= 0xD800 && code < 0xDC00 && Peek() == '\\' && Peek(1) == 'u') {
    const size_t back = at_;
    int32_t low = 0;
    at_ += 2;
    if (Hex(4, low) && low >= 0xDC00 && low < 0xE000) {
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else {
      at_ = back;
    }
  }
  // Half a surrogate pair is no character.
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) code = kReplacement;
  AppendUtf8(out, code);
  return true;
}

bool Reader::Escape(std::string& out) {
  if (at_ >= text_.size()) return false;
  const char c = text_[at_++];
  static constexpr std::string_view kFrom = "\"\\/bfnrt";
  static constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
  if (const size_t i = kFrom.find(c); i != std::string_view::npos) {
    out += kTo[i];
    return true;
  }
  if (c == 'u') return UnicodeEscape(4, out);
  if (!lenient_) return false;
  if (c == '\'') {
    out += '\'';
  } else if (c == 'x') {
    return UnicodeEscape(2, out);
  } else if (c == 'U') {
    return UnicodeEscape(8, out);
  } else if (c != '\n') {  // a backslash at the end of a line joins lines; any other one stands for itself
    out += '\\';
    out += c;
  }
  return true;
}

}  // namespace

std::optional<Literal> ReadLiteral(std::string_view text, LiteralSyntax syntax) { return Reader(text, syntax).Whole(); }

}  // namespace quern::chat
