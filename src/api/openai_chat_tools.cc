// tools, functions, tool_choice, function_call, parallel_tool_calls of Chat Completions.
#include <fmt/format.h>

#include <boost/json/array.hpp>

#include "api/openai_chat.h"
#include "api/tool_fields.h"

namespace quern::api {

namespace json = boost::json;

namespace {

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
  // Model Studio answers one call unless asked otherwise, OpenAI several.
  QUERN_API_ASSIGN(const auto parallel, body.Bool("parallel_tool_calls"));
  request.parallel_tool_calls = parallel.value_or(prefix != RoutePrefix::kCompatibleMode);
  if (request.legacy_functions) request.parallel_tool_calls = false;
  return {};
}

}  // namespace quern::api
