#include "chat/template_variables.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>

#include "base/json.h"
#include "base/utf8.h"
#include "chat/literal_guard.h"

namespace quern::chat {
namespace {

namespace json = boost::json;

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kSystem:
      return "system";
    case Role::kUser:
      return "user";
    case Role::kAssistant:
      return "assistant";
    case Role::kTool:
      return "tool";
  }
  return "user";
}

void AppendEscaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
}

// Writes one JSON text piece by piece. Text from outside passes the guard; the rest is ours.
class Writer {
 public:
  Writer(std::string_view stand_in, const VariableLimits& limits) : stand_in_(stand_in), limits_(limits) {}

  void Raw(std::string_view text) { out_ += text; }

  void Text(std::string_view text, FimTokens fim, std::string_view tail = {}) {
    out_ += '"';
    needs_guard_ = needs_guard_ || NeedsGuard(text, fim);
    if (stand_in_.empty()) {
      AppendEscaped(out_, text);
    } else {
      std::string guarded;
      AppendGuarded(guarded, text, fim, stand_in_);
      AppendEscaped(out_, guarded);
    }
    out_ += tail;
    out_ += '"';
  }

  void Value(const json::value& value, size_t depth = 1);
  void Object(const json::object& object, size_t depth = 1);

  bool needs_guard() const { return needs_guard_; }
  bool too_deep() const { return too_deep_; }
  std::string& out() { return out_; }

 private:
  void Number(const json::value& value);

  std::string out_;
  std::string_view stand_in_;
  VariableLimits limits_;
  bool needs_guard_ = false;
  bool too_deep_ = false;
};

void Writer::Number(const json::value& value) {
  if (value.is_int64()) {
    out_ += fmt::format("{}", value.get_int64());
  } else if (value.is_uint64()) {
    out_ += fmt::format("{}", value.get_uint64());
  } else if (const double number = value.get_double(); std::isinf(number)) {
    out_ += number > 0 ? "1e999" : "-1e999";  // reads back as infinity
  } else {
    const std::string text = fmt::format("{}", number);
    out_ += text;
    if (text.find_first_of(".en") == std::string::npos) out_ += ".0";
  }
}

void Writer::Object(const json::object& object, size_t depth) {
  if (depth > limits_.depth) {
    too_deep_ = true;
    out_ += "null";
    return;
  }
  out_ += '{';
  bool first = true;
  for (const auto& member : object) {
    if (!first) out_ += ',';
    first = false;
    Text(member.key(), FimTokens::kAreText);
    out_ += ':';
    Value(member.value(), depth + 1);
  }
  out_ += '}';
}

void Writer::Value(const json::value& value, size_t depth) {
  switch (value.kind()) {
    case json::kind::null:
      out_ += "null";
      break;
    case json::kind::bool_:
      out_ += value.get_bool() ? "true" : "false";
      break;
    case json::kind::string:
      Text(value.get_string(), FimTokens::kAreText);
      break;
    case json::kind::object:
      Object(value.get_object(), depth);
      break;
    case json::kind::array: {
      if (depth > limits_.depth) {
        too_deep_ = true;
        out_ += "null";
        break;
      }
      out_ += '[';
      bool first = true;
      for (const json::value& item : value.get_array()) {
        if (!first) out_ += ',';
        first = false;
        Value(item, depth + 1);
      }
      out_ += ']';
      break;
    }
    default:
      Number(value);
  }
}

// Templates take an object. Clients replay calls whose arguments were cut or never were an object: those become one
// argument that holds what was there.
void WriteArguments(Writer& writer, const json::value& arguments) {
  if (arguments.is_object()) {
    writer.Object(arguments.get_object());
    return;
  }
  if (arguments.is_null() || (arguments.is_string() && arguments.get_string().empty())) {
    writer.Raw("{}");
    return;
  }
  if (arguments.is_string()) {
    if (auto parsed = ParseJson(std::string_view(arguments.get_string())); parsed && parsed->is_object()) {
      writer.Object(parsed->get_object());
      return;
    }
  }
  writer.Raw("{\"arguments\":");
  writer.Value(arguments);
  writer.Raw("}");
}

void WriteCalls(Writer& writer, const std::vector<ToolCall>& calls) {
  writer.Raw(",\"tool_calls\":[");
  for (size_t i = 0; i < calls.size(); ++i) {
    writer.Raw(i > 0 ? ",{\"id\":" : "{\"id\":");
    writer.Text(calls[i].id, FimTokens::kAreText);
    writer.Raw(",\"type\":\"function\",\"function\":{\"name\":");
    writer.Text(calls[i].name, FimTokens::kAreText);
    writer.Raw(",\"arguments\":");
    WriteArguments(writer, calls[i].arguments);
    writer.Raw("}}");
  }
  writer.Raw("]");
}

void WriteMessage(Writer& writer, const Message& message, std::string_view end_mark) {
  writer.Raw("{\"role\":\"");
  writer.Raw(RoleName(message.role));
  writer.Raw("\",\"content\":");
  writer.Text(message.content, message.role == Role::kUser ? FimTokens::kAct : FimTokens::kAreText, end_mark);
  if (!message.tool_calls.empty()) WriteCalls(writer, message.tool_calls);
  if (message.role == Role::kTool) {
    writer.Raw(",\"tool_call_id\":");
    writer.Text(message.tool_call_id, FimTokens::kAreText);
  }
  if (!message.name.empty()) {
    writer.Raw(",\"name\":");
    writer.Text(message.name, FimTokens::kAreText);
  }
  writer.Raw("}");
}

// First of all variables: the ones that follow replace an extra of the same name.
void WriteExtra(Writer& writer, const json::object& extra) {
  for (const auto& member : extra) {
    writer.Text(member.key(), FimTokens::kAreText);
    writer.Raw(":");
    writer.Value(member.value());
    writer.Raw(",");
  }
}

// Which call of the turn a result answers: by id, else by the name of a call that no earlier result has answered.
size_t AnsweredCall(const Message& result, const std::vector<ToolCall>& calls, std::vector<bool>& answered) {
  for (size_t i = 0; i < calls.size(); ++i) {
    const bool same = result.tool_call_id.empty() ? !result.name.empty() && calls[i].name == result.name
                                                  : calls[i].id == result.tool_call_id;
    if (same && !answered[i]) {
      answered[i] = true;
      return i;
    }
  }
  return calls.size();
}

}  // namespace

std::vector<const Message*> InCallOrder(std::span<const Message> messages) {
  std::vector<const Message*> order;
  order.reserve(messages.size());
  for (const Message& message : messages) order.push_back(&message);
  for (size_t turn = 0; turn < messages.size(); ++turn) {
    const std::vector<ToolCall>& calls = messages[turn].tool_calls;
    size_t end = turn + 1;
    while (end < messages.size() && messages[end].role == Role::kTool) ++end;
    if (calls.size() < 2 || end - turn < 3) continue;
    std::vector<bool> answered(calls.size(), false);
    std::vector<std::pair<size_t, const Message*>> results;
    for (size_t i = turn + 1; i < end; ++i) {
      results.emplace_back(AnsweredCall(messages[i], calls, answered), &messages[i]);
    }
    std::sort(results.begin(), results.end());  // equal calls: in the messages' own order
    for (size_t i = 0; i < results.size(); ++i) order[turn + 1 + i] = results[i].second;
  }
  return order;
}

Result<Variables> WriteVariables(std::span<const Message> messages, std::span<const Tool> tools,
                                 const VariableOptions& options, const VariableLimits& limits) {
  if (messages.size() > limits.n_messages) {
    return Error(Code::kExhausted,
                 fmt::format("{} messages are more than the allowed {}", messages.size(), limits.n_messages));
  }
  Writer writer(options.stand_in, limits);
  writer.Raw("{");
  if (options.extra != nullptr) WriteExtra(writer, *options.extra);
  writer.Raw("\"messages\":[");
  const std::vector<const Message*> order = InCallOrder(messages);
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0) writer.Raw(",");
    WriteMessage(writer, *order[i], i + 1 == order.size() ? options.end_mark : std::string_view());
    if (writer.out().size() > limits.bytes) break;
  }
  writer.Raw("],\"tools\":");
  writer.Raw(tools.empty() ? "null" : "[");
  for (size_t i = 0; i < tools.size(); ++i) {
    if (i > 0) writer.Raw(",");
    writer.Object(tools[i].declaration);
  }
  if (!tools.empty()) writer.Raw("]");
  writer.Raw(options.add_generation_prompt ? ",\"add_generation_prompt\":true}" : ",\"add_generation_prompt\":false}");
  if (writer.too_deep()) {
    return Error(Code::kExhausted, fmt::format("tools or arguments are nested deeper than {} levels", limits.depth));
  }
  if (writer.out().size() > limits.bytes) {
    return Error(Code::kExhausted, fmt::format("messages and tools take more than {} bytes", limits.bytes));
  }
  std::string text = std::move(writer.out());
  if (!IsValidUtf8(text)) text = ReplaceInvalidUtf8(text);
  return Variables{.json = std::move(text), .needs_guard = writer.needs_guard()};
}

}  // namespace quern::chat
