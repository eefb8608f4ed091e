// `messages` of Chat Completions -> chat::Message.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <unordered_set>

#include "api/message_parts.h"
#include "api/openai_chat.h"

namespace quern::api {

namespace json = boost::json;

namespace {

ApiResult<std::string> PartText(const json::value& part, const std::string& path, bool assistant) {
  if (part.is_string()) return std::string(part.get_string());
  if (!part.is_object()) return Fail(WrongKind(path, "a content part object", part));
  const ObjectReader reader(part.get_object(), path);
  QUERN_API_ASSIGN(const std::string_view type, reader.NeedString("type"));
  if (type == "text" || type == "input_text" || type == "output_text") {
    QUERN_API_ASSIGN(const std::string_view text, reader.NeedString("text"));
    return std::string(text);
  }
  if (type == "refusal" && assistant) {
    QUERN_API_ASSIGN(const std::string_view text, reader.NeedString("refusal"));
    return std::string(text);
  }
  return Fail(BadField(path,
                       fmt::format("Invalid content part at '{}': type '{}' is not supported by this model, only "
                                   "'text' is.",
                                   path, type.substr(0, 60)),
                       "InvalidParameter"));
}

ApiResult<std::string> ReadContent(const ObjectReader& message, const Limits& limits, chat::Role role) {
  const json::value* content = message.Find("content");
  const std::string path = message.PathOf("content");
  if (content == nullptr) {
    // Agents send null or nothing beside tool calls, for tools without output, and for empty answers they replay.
    if (role == chat::Role::kAssistant || role == chat::Role::kTool) return std::string();
    return Fail(BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter"));
  }
  if (content->is_string()) return std::string(content->get_string());
  if (!content->is_array()) return Fail(WrongKind(path, "a string or an array of content parts", *content));
  const json::array& parts = content->get_array();
  QUERN_API_TRY(CheckPartCount(parts, path, limits));
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    QUERN_API_ASSIGN(const std::string part,
                     PartText(parts[i], fmt::format("{}[{}]", path, i), role == chat::Role::kAssistant));
    text += part;
  }
  return text;
}

// Clients send a string of JSON, some an object.
ApiResult<json::value> ReadArguments(const ObjectReader& function) {
  const json::value* arguments = function.Find("arguments");
  if (arguments == nullptr) return json::value(json::object());
  if (arguments->is_object()) return *arguments;
  if (!arguments->is_string()) return Fail(WrongKind(function.PathOf("arguments"), "a string", *arguments));
  return ParseCallArguments(arguments->get_string());
}

ApiResult<chat::ToolCall> ReadFunction(const ObjectReader& function) {
  chat::ToolCall call;
  QUERN_API_ASSIGN(const std::string_view name, function.NeedString("name"));
  if (name.empty() || name.size() > 256) {
    const std::string path = function.PathOf("name");
    return Fail(
        BadField(path, fmt::format("Invalid value for '{}': expected 1 to 256 characters.", path), "invalid_value"));
  }
  call.name = name;
  QUERN_API_ASSIGN(call.arguments, ReadArguments(function));
  return call;
}

ApiResult<std::vector<chat::ToolCall>> ReadToolCalls(const ObjectReader& message, const Limits& limits) {
  std::vector<chat::ToolCall> calls;
  QUERN_API_ASSIGN(const json::array* list, message.Array("tool_calls"));
  if (list != nullptr) {
    if (list->size() > limits.max_tool_calls) {
      const std::string path = message.PathOf("tool_calls");
      return Fail(BadField(path,
                           fmt::format("'{}' has {} entries, at most {} are allowed (limit max_tool_calls).", path,
                                       list->size(), limits.max_tool_calls),
                           "invalid_value"));
    }
    for (size_t i = 0; i < list->size(); ++i) {
      const std::string path = fmt::format("{}[{}]", message.PathOf("tool_calls"), i);
      if (!(*list)[i].is_object()) return Fail(WrongKind(path, "an object", (*list)[i]));
      const ObjectReader entry((*list)[i].get_object(), path);
      QUERN_API_ASSIGN(const auto type, entry.String("type"));
      if (type && *type != "function") {
        return Fail(BadField(entry.PathOf("type"),
                             fmt::format("Invalid value for '{}': only 'function' is supported.", entry.PathOf("type")),
                             "invalid_value"));
      }
      QUERN_API_ASSIGN(const std::string_view id, entry.NeedString("id"));
      QUERN_API_ASSIGN(const json::object* function, entry.Object("function"));
      if (function == nullptr) {
        const std::string missing = entry.PathOf("function");
        return Fail(
            BadField(missing, fmt::format("Missing required parameter: '{}'.", missing), "missing_required_parameter"));
      }
      QUERN_API_ASSIGN(chat::ToolCall call, ReadFunction(ObjectReader(*function, entry.PathOf("function"))));
      call.id = id;
      calls.push_back(std::move(call));
    }
  }
  QUERN_API_ASSIGN(const json::object* legacy, message.Object("function_call"));
  if (legacy != nullptr && calls.empty()) {
    QUERN_API_ASSIGN(chat::ToolCall call, ReadFunction(ObjectReader(*legacy, message.PathOf("function_call"))));
    call.id = "function:" + call.name;
    calls.push_back(std::move(call));
  }
  return calls;
}

ApiResult<chat::Role> ReadRole(const ObjectReader& message) {
  QUERN_API_ASSIGN(const std::string_view role, message.NeedString("role"));
  if (role == "system" || role == "developer") return chat::Role::kSystem;
  if (role == "user") return chat::Role::kUser;
  if (role == "assistant") return chat::Role::kAssistant;
  if (role == "tool" || role == "function") return chat::Role::kTool;
  const std::string path = message.PathOf("role");
  return Fail(BadField(path,
                       fmt::format("Invalid value for '{}': '{}' is not one of 'system', 'developer', 'user', "
                                   "'assistant', 'tool' and 'function'.",
                                   path, role.substr(0, 60)),
                       "invalid_value"));
}

ApiResult<chat::Message> ReadMessage(const ObjectReader& reader, const Limits& limits) {
  chat::Message message;
  QUERN_API_ASSIGN(message.role, ReadRole(reader));
  QUERN_API_ASSIGN(message.content, ReadContent(reader, limits, message.role));
  QUERN_API_ASSIGN(const auto name, reader.String("name"));
  message.name = name.value_or("");
  if (message.role == chat::Role::kAssistant) {
    QUERN_API_ASSIGN(message.tool_calls, ReadToolCalls(reader, limits));
  }
  if (message.role == chat::Role::kTool) {
    QUERN_API_ASSIGN(const std::string_view role, reader.NeedString("role"));
    if (role == "function") {
      QUERN_API_ASSIGN(const std::string_view function_name, reader.NeedString("name"));
      message.tool_call_id = fmt::format("function:{}", function_name);
    } else {
      QUERN_API_ASSIGN(const std::string_view id, reader.NeedString("tool_call_id"));
      message.tool_call_id = id;
    }
  }
  return message;
}

ApiResult<bool> ReadPartial(const ObjectReader& reader, const chat::Message& message, bool is_last) {
  QUERN_API_ASSIGN(const auto partial, reader.Bool("partial"));
  QUERN_API_ASSIGN(const auto prefix, reader.Bool("prefix"));
  const bool wanted = partial.value_or(false) || prefix.value_or(false);
  if (!wanted) return false;
  const std::string path = reader.PathOf(partial.value_or(false) ? "partial" : "prefix");
  if (!is_last || message.role != chat::Role::kAssistant || !message.tool_calls.empty()) {
    return Fail(BadField(
        path, fmt::format("'{}' is only allowed on a last message of role assistant without tool calls.", path),
        "InvalidParameter"));
  }
  // An empty prefix is an ordinary request: the caller drops the message.
  return true;
}

}  // namespace

ApiResult<ReadMessages> ReadChatMessages(const ObjectReader& body, const Limits& limits) {
  QUERN_API_ASSIGN(const json::array* list, body.Array("messages"));
  if (list == nullptr) {
    return Fail(BadField("messages", "Missing required parameter: 'messages'.", "missing_required_parameter"));
  }
  if (list->empty()) return Fail(BadField("messages", "[] is too short - 'messages'", "invalid_value"));
  if (list->size() > limits.max_messages) {
    return Fail(BadField("messages",
                         fmt::format("'messages' has {} entries, at most {} are allowed (limit "
                                     "max_messages).",
                                     list->size(), limits.max_messages),
                         "invalid_value"));
  }
  ReadMessages read;
  std::unordered_set<std::string> known_calls;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = fmt::format("messages[{}]", i);
    if (!(*list)[i].is_object()) return Fail(WrongKind(path, "an object", (*list)[i]));
    const ObjectReader reader((*list)[i].get_object(), path);
    QUERN_API_ASSIGN(chat::Message message, ReadMessage(reader, limits));
    for (const chat::ToolCall& call : message.tool_calls) known_calls.insert(call.id);
    if (message.role == chat::Role::kTool && !known_calls.contains(message.tool_call_id)) {
      return Fail(BadField(path,
                           fmt::format("Invalid parameter at '{}': Messages with role \"tool\" must be a response "
                                       "to a preceding message with \"tool_calls\"",
                                       path),
                           "invalid_value"));
    }
    QUERN_API_ASSIGN(read.last_is_partial, ReadPartial(reader, message, i + 1 == list->size()));
    read.messages.push_back(std::move(message));
  }
  if (read.last_is_partial && read.messages.back().content.empty() && read.messages.size() > 1) {
    read.messages.pop_back();
    read.last_is_partial = false;
  }
  OrderToolResults(read.messages);
  return read;
}

}  // namespace quern::api
