// tools, functions, tool_choice, function_call, parallel_tool_calls of Chat Completions.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>

#include "api/openai_chat.h"

namespace quern::api {

namespace json = boost::json;

namespace {

bool IsToolName(std::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == ':';
  });
}

// One function declaration, checked; kept with its own keys in their order because templates render them all.
ApiResult<chat::Tool> ReadFunctionTool(const ObjectReader& function) {
  QUERN_API_ASSIGN(const std::string_view name, function.NeedString("name"));
  if (!IsToolName(name)) {
    const std::string path = function.PathOf("name");
    return Fail(BadField(path,
                         fmt::format("Invalid value for '{}': expected 1 to 64 letters, digits, '_', '-', '.' or "
                                     "':'.",
                                     path),
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

ApiResult<void> ReadTools(const ObjectReader& body, const Limits& limits, ChatRequest& request) {
  QUERN_API_ASSIGN(const json::array* tools, body.Array("tools"));
  if (tools != nullptr) {
    QUERN_API_TRY(CheckToolCount(*tools, "tools", limits));
    for (size_t i = 0; i < tools->size(); ++i) {
      const std::string path = fmt::format("tools[{}]", i);
      if (!(*tools)[i].is_object()) return Fail(WrongKind(path, "an object", (*tools)[i]));
      const ObjectReader tool((*tools)[i].get_object(), path);
      QUERN_API_ASSIGN(const auto type, tool.String("type"));
      if (type && *type == "custom") continue;
      if (type && *type != "function") {
        return Fail(BadField(tool.PathOf("type"),
                             fmt::format("Invalid value for '{}': '{}' tools are not supported, "
                                         "only 'function'.",
                                         tool.PathOf("type"), type->substr(0, 60)),
                             "invalid_value"));
      }
      QUERN_API_ASSIGN(const json::object* function, tool.Object("function"));
      if (function == nullptr) {
        const std::string missing = tool.PathOf("function");
        return Fail(
            BadField(missing, fmt::format("Missing required parameter: '{}'.", missing), "missing_required_parameter"));
      }
      QUERN_API_ASSIGN(chat::Tool read, ReadFunctionTool(ObjectReader(*function, tool.PathOf("function"))));
      request.tools.push_back(std::move(read));
    }
  }
  QUERN_API_ASSIGN(const json::array* functions, body.Array("functions"));
  if (functions == nullptr || !request.tools.empty()) return {};
  QUERN_API_TRY(CheckToolCount(*functions, "functions", limits));
  request.legacy_functions = true;
  for (size_t i = 0; i < functions->size(); ++i) {
    const std::string path = fmt::format("functions[{}]", i);
    if (!(*functions)[i].is_object()) return Fail(WrongKind(path, "an object", (*functions)[i]));
    QUERN_API_ASSIGN(chat::Tool read, ReadFunctionTool(ObjectReader((*functions)[i].get_object(), path)));
    request.tools.push_back(std::move(read));
  }
  return {};
}

bool Declares(const std::vector<chat::Tool>& tools, std::string_view name) {
  return std::any_of(tools.begin(), tools.end(), [&](const chat::Tool& tool) { return tool.name == name; });
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
  for (size_t i = 0; i < names->size() && i < 4096; ++i) {
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

ApiResult<void> ReadToolChoice(const ObjectReader& body, ChatRequest& request) {
  const json::value* choice = body.Find("tool_choice");
  if (choice == nullptr) return {};
  if (choice->is_string()) return ReadChoiceWord(std::string_view(choice->get_string()), "tool_choice", request);
  if (!choice->is_object()) return Fail(WrongKind("tool_choice", "a string or an object", *choice));
  const ObjectReader reader(choice->get_object(), "tool_choice");
  QUERN_API_ASSIGN(const std::string_view type, reader.NeedString("type"));
  if (type == "function") {
    QUERN_API_ASSIGN(const json::object* function, reader.Object("function"));
    const ObjectReader named(function != nullptr ? *function : reader.object(),
                             function != nullptr ? "tool_choice.function" : "tool_choice");
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

ApiResult<void> ReadLegacyChoice(const ObjectReader& body, ChatRequest& request) {
  const json::value* choice = body.Find("function_call");
  if (choice == nullptr) return {};
  if (choice->is_string()) {
    const std::string_view word = choice->get_string();
    if (word != "auto" && word != "none") return Fail(BadChoice("function_call", word));
    return ReadChoiceWord(word, "function_call", request);
  }
  if (!choice->is_object()) return Fail(WrongKind("function_call", "a string or an object", *choice));
  const ObjectReader reader(choice->get_object(), "function_call");
  QUERN_API_ASSIGN(const std::string_view name, reader.NeedString("name"));
  return ForceTool(name, "function_call.name", request);
}

}  // namespace

ApiResult<void> ReadChatTools(const ObjectReader& body, const Limits& limits, RoutePrefix prefix,
                              ChatRequest& request) {
  QUERN_API_TRY(ReadTools(body, limits, request));
  if (request.legacy_functions) {
    QUERN_API_TRY(ReadLegacyChoice(body, request));
  } else {
    QUERN_API_TRY(ReadToolChoice(body, request));
  }
  if (request.tools.empty() && request.tool_choice == ToolChoice::kRequired) {
    return Fail(
        BadField("tool_choice", "'tool_choice' can only be 'required' when 'tools' are given.", "invalid_value"));
  }
  // Model Studio answers one call unless asked otherwise, OpenAI several.
  QUERN_API_ASSIGN(const auto parallel, body.Bool("parallel_tool_calls"));
  request.parallel_tool_calls = parallel.value_or(prefix != RoutePrefix::kCompatibleMode);
  if (request.legacy_functions) request.parallel_tool_calls = false;
  return {};
}

}  // namespace quern::api
