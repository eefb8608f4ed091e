// `tools` and `tool_choice` of Anthropic Messages.
#include <fmt/format.h>

#include <boost/json/array.hpp>

#include "api/anthropic_messages.h"
#include "api/tool_fields.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// The same tool as templates and the call parser know it. Markers of the protocol (cache_control, defer_loading, ...)
// must not reach the prompt.
ApiResult<chat::Tool> ReadTool(const ObjectReader& tool) {
  QUERN_API_ASSIGN(const std::string_view name, tool.NeedString("name"));
  QUERN_API_ASSIGN(const auto description, tool.String("description"));
  QUERN_API_ASSIGN(const json::object* schema, tool.Object("input_schema"));
  QUERN_API_ASSIGN(const auto strict, tool.Bool("strict"));
  json::object function;
  function.emplace("name", name);
  if (description) function.emplace("description", *description);
  if (schema != nullptr) function.emplace("parameters", *schema);
  if (strict.value_or(false)) function.emplace("strict", true);
  return ReadFunctionTool(ObjectReader(function, tool.path()), kMaxAnthropicToolName);
}

// Tools with a type of Anthropic's own run on its servers or are known to its models alone; those that a client
// describes with a schema work all the same.
ApiResult<bool> IsForeign(const ObjectReader& tool) {
  QUERN_API_ASSIGN(const auto type, tool.String("type"));
  return type && *type != "custom" && !tool.Has("input_schema");
}

ApiResult<void> ReadTools(const ObjectReader& body, const Limits& limits, ChatRequest& request) {
  QUERN_API_ASSIGN(const json::array* tools, body.Array("tools"));
  if (tools == nullptr) return {};
  QUERN_API_TRY(CheckToolCount(*tools, "tools", limits));
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string path = fmt::format("tools.{}", i);
    if (!(*tools)[i].is_object()) return Fail(WrongKind(path, "an object", (*tools)[i]));
    const ObjectReader reader((*tools)[i].get_object(), path);
    QUERN_API_ASSIGN(const bool foreign, IsForeign(reader));
    if (foreign) continue;
    QUERN_API_ASSIGN(chat::Tool tool, ReadTool(reader));
    request.tools.push_back(std::move(tool));
  }
  return {};
}

}  // namespace

ApiResult<void> ReadAnthropicTools(const ObjectReader& body, const Limits& limits, ChatRequest& request) {
  QUERN_API_TRY(ReadTools(body, limits, request));
  QUERN_API_ASSIGN(const json::object* choice, body.Object("tool_choice"));
  if (choice == nullptr) return {};
  const ObjectReader reader(*choice, "tool_choice");
  QUERN_API_ASSIGN(const auto single, reader.Bool("disable_parallel_tool_use"));
  request.parallel_tool_calls = !single.value_or(false);
  QUERN_API_ASSIGN(const std::string_view type, reader.NeedString("type"));
  if (type == "auto" || type == "none" || type == "any") {
    return ReadChoiceWord(type, reader.PathOf("type"), request);
  }
  if (type == "tool") {
    QUERN_API_ASSIGN(const std::string_view name, reader.NeedString("name"));
    return ForceTool(name, reader.PathOf("name"), request);
  }
  return Fail(BadField(reader.PathOf("type"),
                       fmt::format("Invalid value for '{}': '{}' is not one of 'auto', 'any', 'tool' and 'none'.",
                                   reader.PathOf("type"), type.substr(0, 60)),
                       "invalid_value"));
}

}  // namespace quern::api
