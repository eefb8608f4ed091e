#include "chat/hermes_call.h"

#include <utility>

#include "base/utf8.h"
#include "chat/literal_reader.h"

namespace quern::chat {
namespace {

const std::string* Member(const Literal& object, std::string_view key) {
  for (const auto& [name, json] : object.members) {
    if (name == key) return &json;
  }
  return nullptr;
}

// Arguments may be an object, a string that holds one, or missing.
std::optional<std::string> ReadArguments(const Literal& call, LiteralSyntax syntax) {
  const std::string* json = Member(call, "arguments");
  if (json == nullptr) json = Member(call, "parameters");
  if (json == nullptr) return "{}";
  std::optional<Literal> arguments = ReadLiteral(*json, LiteralSyntax::kJson);
  if (arguments && arguments->kind == LiteralKind::kString) arguments = ReadLiteral(arguments->text, syntax);
  if (arguments && arguments->kind == LiteralKind::kNull) return "{}";
  if (!arguments || arguments->kind != LiteralKind::kObject) return std::nullopt;
  return std::move(arguments->json);
}

}  // namespace

bool HermesCall::Push(char c) {
  text_ += c;
  after_break_ = c == '\n';
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
    return false;
  }
  if (c == '"') in_string_ = true;
  if (c == '{' || c == '[') ++depth_;
  if (c == '}' || c == ']') --depth_;
  return depth_ <= 0;
}

std::optional<HermesCall::Call> HermesCall::Read(std::string& why) const {
  const std::string text = ReplaceInvalidUtf8(text_);
  for (const LiteralSyntax syntax : {LiteralSyntax::kJson, LiteralSyntax::kLenient}) {
    const std::optional<Literal> object = ReadLiteral(text, syntax);
    if (!object || object->kind != LiteralKind::kObject) continue;
    const std::string* name = Member(*object, "name");
    const std::optional<Literal> name_text = name != nullptr ? ReadLiteral(*name, LiteralSyntax::kJson) : std::nullopt;
    if (!name_text || name_text->kind != LiteralKind::kString || name_text->text.empty()) {
      why = "has no name";
      return std::nullopt;
    }
    std::optional<std::string> arguments = ReadArguments(*object, syntax);
    if (!arguments) {
      why = "has arguments that are no object";
      return std::nullopt;
    }
    return Call{.name = name_text->text, .arguments = *std::move(arguments)};
  }
  why = "cannot be read";
  return std::nullopt;
}

}  // namespace quern::chat
