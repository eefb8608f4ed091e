// `system` and `messages` of Anthropic Messages -> chat::Message.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <unordered_set>

#include "api/anthropic_messages.h"
#include "api/message_parts.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// Claude Code begins its system prompt with a line for Anthropic's accounting. It is not meant for the model, and where
// it changes per request it would cost the whole cached prefix.
constexpr std::string_view kBillingLine = "x-anthropic-billing-header";
// Stands in a tool's result for what this model cannot see.
constexpr std::string_view kImagePlaceholder = "[image]";

ApiError Unseen(const std::string& path, std::string_view type) {
  return BadField(path,
                  fmt::format("{}: content blocks of type '{}' are not supported by this model, which reads text "
                              "only.",
                              path, type),
                  "unsupported");
}

class TurnReader {
 public:
  TurnReader(const Limits& limits, std::vector<chat::Message>& messages) : limits_(limits), messages_(messages) {}

  ApiResult<void> ReadSystem(const json::value& system) {
    QUERN_API_ASSIGN(std::string text, SystemText(system, "system"));
    if (!text.empty()) messages_.push_back({chat::Role::kSystem, std::move(text), {}, {}, {}});
    return {};
  }

  ApiResult<void> ReadMessage(const ObjectReader& message) {
    QUERN_API_ASSIGN(const std::string_view role, message.NeedString("role"));
    const std::string path = message.PathOf("content");
    const json::value* content = message.Find("content");
    if (content == nullptr) {
      return Fail(BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter"));
    }
    if (role == "user") return ReadUser(*content, path);
    if (role == "assistant") return ReadAssistant(*content, path);
    if (role == "system") {
      QUERN_API_ASSIGN(std::string text, SystemText(*content, path));
      messages_.push_back({chat::Role::kSystem, std::move(text), {}, {}, {}});
      return {};
    }
    const std::string role_path = message.PathOf("role");
    return Fail(BadField(role_path,
                         fmt::format("Invalid value for '{}': '{}' is not one of 'user', 'assistant' and 'system'.",
                                     role_path, role.substr(0, 60)),
                         "invalid_value"));
  }

 private:
  // Calls fn(block, type) for each block; a string counts as one text block.
  template <typename F>
  ApiResult<void> ForEachBlock(const json::value& content, const std::string& path, F fn) const {
    if (!content.is_array()) return Fail(WrongKind(path, "a string or an array of content blocks", content));
    const json::array& blocks = content.get_array();
    QUERN_API_TRY(CheckPartCount(blocks, path, limits_));
    for (size_t i = 0; i < blocks.size(); ++i) {
      const std::string block_path = fmt::format("{}.{}", path, i);
      if (!blocks[i].is_object()) return Fail(WrongKind(block_path, "a content block object", blocks[i]));
      const ObjectReader block(blocks[i].get_object(), block_path);
      QUERN_API_ASSIGN(const std::string_view type, block.NeedString("type"));
      QUERN_API_TRY(fn(block, type));
    }
    return {};
  }

  ApiResult<std::string> SystemText(const json::value& content, const std::string& path) const {
    if (content.is_string()) return std::string(content.get_string());
    std::string text;
    bool first = true;
    QUERN_API_TRY(ForEachBlock(content, path, [&](const ObjectReader& block, std::string_view) -> ApiResult<void> {
      QUERN_API_ASSIGN(const std::string_view piece, block.NeedString("text"));
      if (!std::exchange(first, false) || !piece.starts_with(kBillingLine)) text += piece;
      return {};
    }));
    return text;
  }

  // The text of a block that only carries text; nothing for unknown types, which newer clients may add.
  ApiResult<std::string> BlockText(const ObjectReader& block, std::string_view type) const {
    if (type == "text") {
      QUERN_API_ASSIGN(const std::string_view text, block.NeedString("text"));
      return std::string(text);
    }
    if (type == "document") return DocumentText(block);
    if (type == "search_result") return NestedText(block);
    return std::string();
  }

  // The text blocks of a block's "content".
  ApiResult<std::string> NestedText(const ObjectReader& block) const {
    const json::value* content = block.Find("content");
    if (content == nullptr) return std::string();
    if (content->is_string()) return std::string(content->get_string());
    std::string text;
    QUERN_API_TRY(ForEachBlock(*content, block.PathOf("content"),
                               [&](const ObjectReader& inner, std::string_view type) -> ApiResult<void> {
                                 if (type == "image") return Fail(Unseen(inner.path(), type));
                                 if (type != "text") return {};
                                 QUERN_API_ASSIGN(const std::string_view piece, inner.NeedString("text"));
                                 text += piece;
                                 return {};
                               }));
    return text;
  }

  ApiResult<std::string> DocumentText(const ObjectReader& block) const {
    QUERN_API_ASSIGN(const json::object* object, block.Object("source"));
    if (object == nullptr) {
      const std::string path = block.PathOf("source");
      return Fail(BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter"));
    }
    const ObjectReader source(*object, block.PathOf("source"));
    QUERN_API_ASSIGN(const std::string_view type, source.NeedString("type"));
    if (type == "text") {
      QUERN_API_ASSIGN(const std::string_view data, source.NeedString("data"));
      return std::string(data);
    }
    if (type == "content") return NestedText(source);
    return Fail(BadField(source.PathOf("type"),
                         fmt::format("{}: documents of type '{}' are not supported, only 'text' and 'content'.",
                                     source.PathOf("type"), type.substr(0, 60)),
                         "unsupported"));
  }

  // Results of tools become messages of their own in front of the person's words.
  ApiResult<void> ReadUser(const json::value& content, const std::string& path) {
    if (content.is_string()) {
      AddTurn(chat::Role::kUser, std::string(content.get_string()));
      return {};
    }
    std::string text;
    bool has_text = false;
    bool has_results = false;
    QUERN_API_TRY(ForEachBlock(content, path, [&](const ObjectReader& block, std::string_view type) -> ApiResult<void> {
      if (type == "tool_result") {
        has_results = true;
        return ReadToolResult(block);
      }
      if (type == "image") return Fail(Unseen(block.path(), type));
      QUERN_API_ASSIGN(const std::string piece, BlockText(block, type));
      has_text |= !piece.empty();
      text += piece;
      return {};
    }));
    if (has_text || !has_results) AddTurn(chat::Role::kUser, std::move(text));
    return {};
  }

  ApiResult<void> ReadToolResult(const ObjectReader& block) {
    QUERN_API_ASSIGN(const std::string_view id, block.NeedString("tool_use_id"));
    if (!known_calls_.contains(std::string(id))) {
      return Fail(BadField(block.PathOf("tool_use_id"),
                           fmt::format("{}: unexpected tool_use_id found in tool_result blocks: {}. Each tool_result "
                                       "block must have a tool_use block in an earlier message.",
                                       block.path(), id.substr(0, 100)),
                           "invalid_value"));
    }
    QUERN_API_ASSIGN(const auto is_error, block.Bool("is_error"));
    chat::Message result;
    result.role = chat::Role::kTool;
    result.tool_call_id = id;
    if (is_error.value_or(false)) result.content = "Error: ";
    const json::value* content = block.Find("content");
    if (content != nullptr && content->is_string()) {
      result.content += content->get_string();
    } else if (content != nullptr) {
      QUERN_API_TRY(ForEachBlock(*content, block.PathOf("content"),
                                 [&](const ObjectReader& inner, std::string_view type) -> ApiResult<void> {
                                   if (type == "image") {
                                     result.content += kImagePlaceholder;
                                     return {};
                                   }
                                   QUERN_API_ASSIGN(const std::string piece, BlockText(inner, type));
                                   result.content += piece;
                                   return {};
                                 }));
    }
    messages_.push_back(std::move(result));
    return {};
  }

  ApiResult<void> ReadAssistant(const json::value& content, const std::string& path) {
    if (content.is_string()) {
      AddTurn(chat::Role::kAssistant, std::string(content.get_string()));
      return {};
    }
    chat::Message turn;
    turn.role = chat::Role::kAssistant;
    QUERN_API_TRY(ForEachBlock(content, path, [&](const ObjectReader& block, std::string_view type) -> ApiResult<void> {
      if (type == "tool_use") return ReadToolUse(block, turn);
      if (type == "text") {
        QUERN_API_ASSIGN(const std::string_view text, block.NeedString("text"));
        turn.content += text;
      }
      return {};  // thinking, and what only Anthropic's own tools leave behind
    }));
    AddTurn(chat::Role::kAssistant, std::move(turn.content));
    std::vector<chat::ToolCall>& calls = messages_.back().tool_calls;
    for (chat::ToolCall& call : turn.tool_calls) calls.push_back(std::move(call));
    if (calls.size() <= limits_.max_tool_calls) return {};
    return Fail(BadField(path,
                         fmt::format("{}: {} tool_use blocks, at most {} are allowed (limit max_tool_calls).", path,
                                     calls.size(), limits_.max_tool_calls),
                         "invalid_value"));
  }

  ApiResult<void> ReadToolUse(const ObjectReader& block, chat::Message& turn) {
    chat::ToolCall call;
    QUERN_API_ASSIGN(const std::string_view id, block.NeedString("id"));
    QUERN_API_ASSIGN(const std::string_view name, block.NeedString("name"));
    if (name.empty() || name.size() > 256) {
      const std::string path = block.PathOf("name");
      return Fail(
          BadField(path, fmt::format("Invalid value for '{}': expected 1 to 256 characters.", path), "invalid_value"));
    }
    call.id = id;
    call.name = name;
    const json::value* input = block.Find("input");
    if (input == nullptr) {
      call.arguments = json::object();
    } else if (input->is_object()) {
      call.arguments = *input;
    } else if (input->is_string()) {
      call.arguments = ParseCallArguments(input->get_string());
    } else {
      return Fail(WrongKind(block.PathOf("input"), "an object", *input));
    }
    known_calls_.insert(call.id);
    turn.tool_calls.push_back(std::move(call));
    return {};
  }

  // Turns of one speaker in a row are one turn.
  void AddTurn(chat::Role role, std::string text) {
    if (messages_.empty() || messages_.back().role != role || !messages_.back().tool_calls.empty()) {
      messages_.push_back({role, std::move(text), {}, {}, {}});
      return;
    }
    std::string& before = messages_.back().content;
    if (!before.empty() && !text.empty()) before += "\n\n";
    before += text;
  }

  const Limits& limits_;
  std::vector<chat::Message>& messages_;
  std::unordered_set<std::string> known_calls_;
};

}  // namespace

ApiResult<void> ReadAnthropicTurns(const ObjectReader& body, const Limits& limits, ChatRequest& request) {
  QUERN_API_ASSIGN(const json::array* list, body.Array("messages"));
  if (list == nullptr) {
    return Fail(BadField("messages", "Missing required parameter: 'messages'.", "missing_required_parameter"));
  }
  if (list->empty()) return Fail(BadField("messages", "messages: at least one message is required", "invalid_value"));
  if (list->size() > limits.max_messages) {
    return Fail(BadField("messages",
                         fmt::format("'messages' has {} entries, at most {} are allowed (limit max_messages).",
                                     list->size(), limits.max_messages),
                         "invalid_value"));
  }
  TurnReader reader(limits, request.messages);
  if (const json::value* system = body.Find("system")) QUERN_API_TRY(reader.ReadSystem(*system));
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = fmt::format("messages.{}", i);
    if (!(*list)[i].is_object()) return Fail(WrongKind(path, "an object", (*list)[i]));
    QUERN_API_TRY(reader.ReadMessage(ObjectReader((*list)[i].get_object(), path)));
  }
  OrderToolResults(request.messages);
  const chat::Message& last = request.messages.back();
  if (last.role == chat::Role::kAssistant && last.tool_calls.empty()) {
    if (!last.content.empty()) {
      request.continue_final_message = true;
      request.add_generation_prompt = false;
    } else if (request.messages.size() > 1) {
      request.messages.pop_back();
    }
  }
  return {};
}

}  // namespace quern::api
