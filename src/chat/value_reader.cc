#include "chat/value_reader.h"

#include <algorithm>
#include <optional>

#include "base/json_text.h"
#include "chat/literal_reader.h"

namespace quern::chat {
namespace {

constexpr size_t kMaxDigits = 308;  // more overflow a double, which is what most readers have

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// An integer as Python's int() reads it, or with a fraction of zeros. exact: only as JSON writes it, which leaves "007"
// and "+1" to the strings that they probably are.
std::optional<std::string> ReadInteger(std::string_view text, bool exact) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || (!exact && digits.starts_with('+'))) digits.remove_prefix(1);
  if (const size_t point = digits.find('.'); point != std::string_view::npos && !exact) {
    const std::string_view fraction = digits.substr(point + 1);
    if (fraction.find_first_not_of('0') != std::string_view::npos) return std::nullopt;
    digits = digits.substr(0, point);
  }
  if (!AllDigits(digits) || digits.size() > kMaxDigits) return std::nullopt;
  const size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  if (exact && first > 0) return std::nullopt;
  digits.remove_prefix(first);
  return (negative && digits != "0" ? "-" : "") + std::string(digits);
}

std::optional<std::string> ReadNumber(std::string_view text, bool exact) {
  const auto literal = ReadLiteral(text, exact ? LiteralSyntax::kJson : LiteralSyntax::kLenient);
  if (literal && literal->kind == LiteralKind::kNumber) return literal->json;
  return exact ? std::nullopt : ReadInteger(text, exact);
}

std::optional<std::string> ReadBoolean(std::string_view text) {
  if (EqualsIgnoringCase(text, "true")) return "true";
  if (EqualsIgnoringCase(text, "false")) return "false";
  return std::nullopt;
}

bool IsContainer(LiteralKind kind) { return kind == LiteralKind::kObject || kind == LiteralKind::kArray; }

// exact: the kind must be one that the schema names. Without a string to fall back to, a list where an object
// was asked for is still better passed on as what it is.
std::optional<std::string> ReadContainer(std::string_view text, ValueTypes types, bool exact) {
  for (const LiteralSyntax syntax : {LiteralSyntax::kJson, LiteralSyntax::kLenient}) {
    std::optional<Literal> literal = ReadLiteral(text, syntax);
    // An object that was written as a string that holds one.
    if (literal && literal->kind == LiteralKind::kString && !exact) literal = ReadLiteral(literal->text, syntax);
    if (!literal || !IsContainer(literal->kind)) continue;
    const ValueTypes kind = literal->kind == LiteralKind::kObject ? kObjectType : kArrayType;
    if ((types & kind) != 0 || !exact) return std::move(literal->json);
  }
  return std::nullopt;
}

}  // namespace

std::string ReadValue(std::string_view text, ValueTypes types) {
  if (types == kStringType) return JsonString(text);
  const bool exact = (types & kStringType) != 0;
  const std::string_view trimmed = Trim(text);
  std::optional<std::string> value;
  // Templates show a null argument of earlier turns as Python's None, and models repeat it.
  const bool is_none = !exact && trimmed == "None";
  if ((types & kNullType) != 0 && (EqualsIgnoringCase(trimmed, "null") || is_none)) return "null";
  if ((types & kIntegerType) != 0) value = ReadInteger(trimmed, exact);
  if (!value && (types & kNumberType) != 0) value = ReadNumber(trimmed, exact);
  if (!value && (types & kBooleanType) != 0) value = ReadBoolean(trimmed);
  if (!value && (types & (kObjectType | kArrayType)) != 0) value = ReadContainer(trimmed, types, exact);
  if (!value && (types & kOtherType) != 0) {
    if (const auto literal = ReadLiteral(trimmed, LiteralSyntax::kLenient)) value = literal->json;
  }
  // The schema allows neither null nor a string: null says better than "null" that there is no value.
  if (!value && !exact && EqualsIgnoringCase(trimmed, "null")) return "null";
  return value ? *std::move(value) : JsonString(text);
}

}  // namespace quern::chat
