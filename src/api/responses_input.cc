// `instructions`, `previous_response_id` and `input` of the Responses API -> chat::Message.
#include <fmt/format.h>

#include <unordered_set>

#include "api/ids.h"
#include "api/message_parts.h"
#include "api/responses_request.h"

namespace quern::api {

namespace json = boost::json;

namespace {

ApiError Missing(const std::string& path) {
  return BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter");
}

class ItemReader {
 public:
  ItemReader(const Limits& limits, const StoredTurns& stored, std::vector<chat::Message>& messages, json::array* items)
      : limits_(limits), stored_(stored), messages_(messages), items_(items) {}

  // The whole conversation that an earlier answer ended.
  ApiResult<void> ReadPrevious(const std::string& id) {
    const auto found = stored_.store.Get(ItemKind::kResponse, stored_.owner, id);
    if (!found) return Fail(FromStatus(found.error()));
    const std::shared_ptr<const KeptItem>& previous = *found;
    if (!previous) {
      ApiError error =
          BadField("previous_response_id", fmt::format("Previous response with id '{}' not found.", id.substr(0, 100)),
                   "previous_response_not_found");
      error.http_status = 404;
      return Fail(std::move(error));
    }
    for (const std::string* text : {&previous->input, &previous->output}) {
      const json::value list = ParseStored(*text);
      for (const json::value& item : list.as_array()) {
        QUERN_API_TRY(ReadItem(ObjectReader(item.as_object(), "previous_response_id")));
      }
    }
    return {};
  }

  ApiResult<void> ReadItem(const ObjectReader& item) {
    QUERN_API_TRY(item.String("id"));
    QUERN_API_ASSIGN(const auto given, item.String("type"));
    const std::string_view type = given ? *given : item.Has("role") ? "message" : "item_reference";
    if (type == "item_reference") return ReadReference(item);
    if (type == "message") {
      QUERN_API_TRY(ReadMessage(item));
    } else if (type == "function_call" || type == "custom_tool_call") {
      QUERN_API_TRY(ReadCall(item, type == "custom_tool_call"));
    } else if (type == "function_call_output" || type == "custom_tool_call_output") {
      QUERN_API_TRY(ReadOutput(item));
    } else {
      return {};  // reasoning, and what hosted tools leave behind: nothing that this model could read
    }
    KeepItem(item, type);
    return {};
  }

 private:
  ApiResult<std::string> ReadText(const json::value* content, const std::string& path, bool with_images) const {
    if (content == nullptr) return Fail(Missing(path));
    if (content->is_string()) return std::string(content->get_string());
    if (!content->is_array()) return Fail(WrongKind(path, "a string or an array of content parts", *content));
    const json::array& parts = content->get_array();
    QUERN_API_TRY(CheckPartCount(parts, path, limits_));
    std::string text;
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string part_path = fmt::format("{}[{}]", path, i);
      if (!parts[i].is_object()) return Fail(WrongKind(part_path, "a content part object", parts[i]));
      const ObjectReader part(parts[i].get_object(), part_path);
      QUERN_API_ASSIGN(const std::string_view type, part.NeedString("type"));
      if (type == "input_text" || type == "output_text" || type == "text" || type == "refusal") {
        QUERN_API_ASSIGN(const std::string_view piece, part.NeedString(type == "refusal" ? "refusal" : "text"));
        text += piece;
      } else if (with_images && type == "input_image") {
        text += "[image]";
      } else {
        return Fail(BadField(part_path,
                             fmt::format("Invalid content part at '{}': type '{}' is not supported by this model, only "
                                         "'input_text' and 'output_text' are.",
                                         part_path, type.substr(0, 60)),
                             "unsupported"));
      }
    }
    return text;
  }

  ApiResult<void> ReadMessage(const ObjectReader& item) {
    QUERN_API_ASSIGN(const std::string_view role, item.NeedString("role"));
    QUERN_API_ASSIGN(std::string text, ReadText(item.Find("content"), item.PathOf("content"), false));
    if (role == "user") {
      messages_.push_back({chat::Role::kUser, std::move(text), {}, {}, {}});
    } else if (role == "system" || role == "developer") {
      messages_.push_back({chat::Role::kSystem, std::move(text), {}, {}, {}});
    } else if (role == "assistant") {
      // Words beside calls whose results are still to come belong to the turn of these calls.
      if (!messages_.empty() && !messages_.back().tool_calls.empty()) {
        messages_.back().content += text;
      } else {
        messages_.push_back({chat::Role::kAssistant, std::move(text), {}, {}, {}});
      }
    } else {
      const std::string path = item.PathOf("role");
      return Fail(BadField(path,
                           fmt::format("Invalid value for '{}': '{}' is not one of 'user', 'assistant', 'system' and "
                                       "'developer'.",
                                       path, role.substr(0, 60)),
                           "invalid_value"));
    }
    return {};
  }

  // Calls, and the words before them, are one turn.
  ApiResult<void> ReadCall(const ObjectReader& item, bool custom) {
    chat::ToolCall call;
    QUERN_API_ASSIGN(const std::string_view id, item.NeedString("call_id"));
    QUERN_API_ASSIGN(const std::string_view name, item.NeedString("name"));
    if (name.empty() || name.size() > 256) {
      const std::string path = item.PathOf("name");
      return Fail(
          BadField(path, fmt::format("Invalid value for '{}': expected 1 to 256 characters.", path), "invalid_value"));
    }
    call.id = id;
    call.name = name;
    if (custom) {
      QUERN_API_ASSIGN(const std::string_view input, item.NeedString("input"));
      call.arguments = json::object{{"input", input}};
    } else {
      QUERN_API_ASSIGN(const auto arguments, item.String("arguments"));
      call.arguments = ParseCallArguments(arguments.value_or(""));
    }
    if (messages_.empty() || messages_.back().role != chat::Role::kAssistant) {
      messages_.push_back({chat::Role::kAssistant, "", {}, {}, {}});
    }
    known_calls_.insert(call.id);
    std::vector<chat::ToolCall>& calls = messages_.back().tool_calls;
    calls.push_back(std::move(call));
    if (calls.size() <= limits_.max_tool_calls) return {};
    return Fail(BadField(
        item.path(), fmt::format("More than {} tool calls in one turn (limit max_tool_calls).", limits_.max_tool_calls),
        "invalid_value"));
  }

  ApiResult<void> ReadOutput(const ObjectReader& item) {
    QUERN_API_ASSIGN(const std::string_view id, item.NeedString("call_id"));
    if (!known_calls_.contains(std::string(id))) {
      return Fail(
          BadField(item.PathOf("call_id"),
                   fmt::format("No tool call found for function call output with call_id {}.", id.substr(0, 100)),
                   "invalid_value"));
    }
    chat::Message result;
    result.role = chat::Role::kTool;
    result.tool_call_id = id;
    QUERN_API_ASSIGN(result.content, ReadText(item.Find("output"), item.PathOf("output"), true));
    messages_.push_back(std::move(result));
    return {};
  }

  ApiResult<void> ReadReference(const ObjectReader& item) {
    QUERN_API_ASSIGN(const std::string_view id, item.NeedString("id"));
    const auto found = stored_.store.FindByPart(stored_.owner, id);
    if (!found) return Fail(FromStatus(found.error()));
    if (const std::shared_ptr<const KeptItem>& holder = *found) {
      const json::value list = ParseStored(holder->output);
      for (const json::value& each : list.as_array()) {
        if (each.at("id").as_string() == id) return ReadItem(ObjectReader(each.as_object(), item.path()));
      }
    }
    ApiError error = BadField(item.PathOf("id"),
                              fmt::format("Item with id '{}' not found. Items are kept only with the responses that "
                                          "'store' kept.",
                                          id.substr(0, 100)),
                              "item_not_found");
    error.http_status = 404;
    return Fail(std::move(error));
  }

  // As input_items lists it: with a type, an id, and content in parts.
  void KeepItem(const ObjectReader& item, std::string_view type) {
    if (items_ == nullptr) return;
    json::object kept = item.object();
    kept["type"] = json::string(type);
    if (!item.Has("id")) kept["id"] = json::string((type == "message" ? "msg_" : "item_") + NewHexId());
    if (type == "message") {
      if (!item.Has("status")) kept["status"] = "completed";
      json::value& content = kept.at("content");
      if (content.is_string()) {
        const char* part = kept.at("role") == "assistant" ? "output_text" : "input_text";
        json::object text{{"type", part}, {"text", content}};
        content = json::array{std::move(text)};
      }
    }
    items_->push_back(std::move(kept));
  }

  const Limits& limits_;
  const StoredTurns& stored_;
  std::vector<chat::Message>& messages_;
  json::array* items_;
  std::unordered_set<std::string> known_calls_;
};

ApiResult<void> ReadList(const json::array& list, const Limits& limits, ItemReader& reader) {
  if (list.size() > limits.max_messages) {
    return Fail(BadField("input",
                         fmt::format("'input' has {} items, at most {} are allowed (limit max_messages).", list.size(),
                                     limits.max_messages),
                         "invalid_value"));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = fmt::format("input[{}]", i);
    if (!list[i].is_object()) return Fail(WrongKind(path, "an object", list[i]));
    QUERN_API_TRY(reader.ReadItem(ObjectReader(list[i].get_object(), path)));
  }
  return {};
}

}  // namespace

ApiResult<void> ReadResponsesInput(const ObjectReader& body, const Limits& limits, const StoredTurns& stored,
                                   ChatRequest& request, json::array* items) {
  ItemReader reader(limits, stored, request.messages, items);
  QUERN_API_ASSIGN(const auto instructions, body.String("instructions"));
  if (instructions && !instructions->empty()) {
    request.messages.push_back({chat::Role::kSystem, std::string(*instructions), {}, {}, {}});
  }
  QUERN_API_ASSIGN(const auto previous, body.String("previous_response_id"));
  if (previous) QUERN_API_TRY(reader.ReadPrevious(std::string(*previous)));
  const json::value* input = body.Find("input");
  if (input != nullptr && input->is_string()) {
    const json::object message{{"role", "user"}, {"content", *input}};
    QUERN_API_TRY(reader.ReadItem(ObjectReader(message, "input")));
  } else if (input != nullptr && input->is_array()) {
    QUERN_API_TRY(ReadList(input->get_array(), limits, reader));
  } else if (input != nullptr) {
    return Fail(WrongKind("input", "a string or an array of items", *input));
  }
  if (request.messages.empty()) return Fail(Missing("input"));
  OrderToolResults(request.messages);
  return {};
}

}  // namespace quern::api
