#include "api/tool_fields.h"

#include <fmt/format.h>

#include <algorithm>

namespace quern::api {

namespace json = boost::json;

namespace {

bool IsToolName(std::string_view name, size_t max_size) {
  if (name.empty() || name.size() > max_size) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == ':';
  });
}

bool Declares(const std::vector<chat::Tool>& tools, std::string_view name) {
  return std::any_of(tools.begin(), tools.end(), [&](const chat::Tool& tool) { return tool.name == name; });
}

}  // namespace

ApiResult<chat::Tool> ReadFunctionTool(const ObjectReader& function, size_t max_name) {
  QUERN_API_ASSIGN(const std::string_view name, function.NeedString("name"));
  if (!IsToolName(name, max_name)) {
    const std::string path = function.PathOf("name");
    return Fail(BadField(path,
                         fmt::format("Invalid value for '{}': expected 1 to {} letters, digits, '_', '-', '.' or "
                                     "':'.",
                                     path, max_name),
                         "invalid_value"));
  }
  QUERN_API_TRY(function.String("description"));
  QUERN_API_TRY(function.Object("parameters"));
  QUERN_API_ASSIGN(const auto strict, function.Bool("strict"));
  chat::Tool tool;
  tool.name = name;
  tool.strict = strict.value_or(false);
  json::object kept;
  for (const auto& [key, value] : function.object()) {
    if (!value.is_null()) kept.emplace(key, value);
  }
  tool.declaration = json::object();
  tool.declaration.emplace("type", "function");
  tool.declaration.emplace("function", std::move(kept));
  return tool;
}

ApiResult<void> CheckToolCount(const json::array& list, const std::string& path, const Limits& limits) {
  if (list.size() <= limits.max_tools) return {};
  return Fail(BadField(path,
                       fmt::format("'{}' has {} entries, at most {} are allowed (limit max_tools).", path, list.size(),
                                   limits.max_tools),
                       "invalid_value"));
}

ApiResult<void> ForceTool(std::string_view name, const std::string& path, ChatRequest& request) {
  if (!Declares(request.tools, name)) {
    return Fail(BadField(
        path,
        fmt::format("Invalid value for '{}': no function named '{}' was given in 'tools'.", path, name.substr(0, 64)),
        "invalid_value"));
  }
  request.tool_choice = ToolChoice::kNamed;
  request.forced_tool = name;
  return {};
}

ApiError BadChoice(const std::string& path, std::string_view seen) {
  return BadField(path,
                  fmt::format("Invalid value for '{}': '{}' is not one of 'none', 'auto' and 'required'.", path,
                              seen.substr(0, 60)),
                  "invalid_value");
}

ApiResult<void> ReadChoiceWord(std::string_view word, const std::string& path, ChatRequest& request) {
  if (word == "auto") {
    request.tool_choice = ToolChoice::kAuto;
  } else if (word == "none") {
    request.tool_choice = ToolChoice::kNone;
  } else if (word == "required" || word == "any") {
    request.tool_choice = ToolChoice::kRequired;
  } else {
    return Fail(BadChoice(path, word));
  }
  return {};
}

namespace {

// {"type":"allowed_tools","allowed_tools":{"mode":...,"tools":[{"type":"function","function":{"name":...}}]}}: the
// model is shown, and the parser accepts, only these.
ApiResult<void> ReadAllowedTools(const ObjectReader& choice, ChatRequest& request) {
  QUERN_API_ASSIGN(const json::object* inner, choice.Object("allowed_tools"));
  const ObjectReader allowed(inner != nullptr ? *inner : choice.object(),
                             inner != nullptr ? choice.PathOf("allowed_tools") : choice.path());
  QUERN_API_ASSIGN(const std::string_view mode, allowed.NeedString("mode"));
  if (mode != "auto" && mode != "required") return Fail(BadChoice(allowed.PathOf("mode"), mode));
  QUERN_API_TRY(ReadChoiceWord(mode, allowed.PathOf("mode"), request));
  QUERN_API_ASSIGN(const json::array* names, allowed.Array("tools"));
  const std::string path = allowed.PathOf("tools");
  if (names == nullptr || names->empty()) {
    return Fail(BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter"));
  }
  std::vector<chat::Tool> kept;
  for (size_t i = 0; i < names->size(); ++i) {
    const std::string item_path = fmt::format("{}[{}]", path, i);
    if (!(*names)[i].is_object()) return Fail(WrongKind(item_path, "an object", (*names)[i]));
    const ObjectReader item((*names)[i].get_object(), item_path);
    QUERN_API_ASSIGN(const json::object* function, item.Object("function"));
    const ObjectReader named(function != nullptr ? *function : item.object(),
                             function != nullptr ? item.PathOf("function") : item_path);
    QUERN_API_ASSIGN(const std::string_view name, named.NeedString("name"));
    if (!Declares(request.tools, name)) {
      return Fail(BadField(named.PathOf("name"),
                           fmt::format("Invalid value for '{}': no function named '{}' was given "
                                       "in 'tools'.",
                                       named.PathOf("name"), name.substr(0, 64)),
                           "invalid_value"));
    }
    for (const chat::Tool& tool : request.tools) {
      if (tool.name == name && !Declares(kept, name)) kept.push_back(tool);
    }
  }
  request.tools = std::move(kept);
  return {};
}

}  // namespace

ApiResult<void> ReadToolChoice(const ObjectReader& body, ChatRequest& request) {
  const json::value* choice = body.Find("tool_choice");
  if (choice == nullptr) return {};
  if (choice->is_string()) return ReadChoiceWord(std::string_view(choice->get_string()), "tool_choice", request);
  if (!choice->is_object()) return Fail(WrongKind("tool_choice", "a string or an object", *choice));
  const ObjectReader reader(choice->get_object(), "tool_choice");
  QUERN_API_ASSIGN(const std::string_view type, reader.NeedString("type"));
  if (type == "function" || type == "custom") {
    QUERN_API_ASSIGN(const json::object* inner, reader.Object(type));
    const ObjectReader named(inner != nullptr ? *inner : reader.object(),
                             inner != nullptr ? reader.PathOf(type) : reader.path());
    QUERN_API_ASSIGN(const std::string_view name, named.NeedString("name"));
    return ForceTool(name, named.PathOf("name"), request);
  }
  if (type == "allowed_tools") return ReadAllowedTools(reader, request);
  if (type == "auto" || type == "none" || type == "required") return ReadChoiceWord(type, "tool_choice.type", request);
  return Fail(BadField("tool_choice.type",
                       fmt::format("Invalid value for 'tool_choice.type': '{}' is not one of 'function' and "
                                   "'allowed_tools'.",
                                   type.substr(0, 60)),
                       "invalid_value"));
}

ApiResult<void> CheckForcedCall(const ChatRequest& request) {
  const bool required = request.tool_choice == ToolChoice::kRequired;
  if (required && request.tools.empty()) {
    return Fail(
        BadField("tool_choice", "'tool_choice' can only be 'required' when 'tools' are given.", "invalid_value"));
  }
  if (request.continue_final_message && (required || request.tool_choice == ToolChoice::kNamed)) {
    return Fail(
        BadField("tool_choice", "A forced tool call cannot be combined with continuing a message.", "invalid_value"));
  }
  return {};
}

}  // namespace quern::api
