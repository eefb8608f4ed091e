// `tools`, `tool_choice` and `parallel_tool_calls` of the Responses API.
#include <fmt/format.h>

#include <boost/json/array.hpp>

#include "api/responses_request.h"
#include "api/tool_fields.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// {"type":"function","name":...,"parameters":...}: the members of a chat function beside the type.
ApiResult<chat::Tool> ReadFlatFunction(const ObjectReader& tool) {
  json::object function;
  for (const auto& [key, value] : tool.object()) {
    if (key != "type") function.emplace(key, value);
  }
  return ReadFunctionTool(ObjectReader(function, tool.path()), kMaxAnthropicToolName);
}

ApiError MissingPart(const std::string& path) {
  return BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter");
}

struct CustomFormat {
  std::string told;     // of the grammar, to the model
  std::string pattern;  // that the text is held to; empty = any text
  std::string lark;     // so is this
};

// {"type":"text"} or {"type":"grammar","syntax":"lark"|"regex","definition":...}. Both are enforced.
ApiResult<CustomFormat> ReadCustomFormat(const ObjectReader& tool) {
  CustomFormat read;
  QUERN_API_ASSIGN(const json::object* format, tool.Object("format"));
  if (format == nullptr) return read;
  const ObjectReader reader(*format, tool.PathOf("format"));
  QUERN_API_ASSIGN(const auto type, reader.String("type"));
  QUERN_API_ASSIGN(const auto syntax, reader.String("syntax"));
  QUERN_API_ASSIGN(const auto definition, reader.String("definition"));
  if (!syntax && !definition && type.value_or("text") == "text") return read;
  if (type && *type != "grammar") {
    const std::string path = reader.PathOf("type");
    return Fail(BadField(path,
                         fmt::format("Invalid value for '{}': '{}' is not 'grammar', and 'text' has no definition.",
                                     path, type->substr(0, 60)),
                         "invalid_value"));
  }
  // A form that is asked for and not given must not become any text.
  if (!syntax) return Fail(MissingPart(reader.PathOf("syntax")));
  if (!definition || definition->empty()) return Fail(MissingPart(reader.PathOf("definition")));
  if (*syntax != "lark" && *syntax != "regex") {
    const std::string path = reader.PathOf("syntax");
    return Fail(BadField(
        path,
        fmt::format("Invalid value for '{}': '{}' is not one of 'lark' and 'regex'.", path, syntax->substr(0, 60)),
        "invalid_value"));
  }
  read.told = fmt::format("\n\nThe input follows this {} grammar:\n{}", *syntax, *definition);
  if (*syntax == "regex") {
    read.pattern = fmt::format("^(?:{})$", *definition);
  } else {
    read.lark = *definition;
  }
  return read;
}

// A custom tool takes free text, perhaps of a form.
ApiResult<chat::Tool> ReadCustomTool(const ObjectReader& tool) {
  QUERN_API_ASSIGN(const std::string_view name, tool.NeedString("name"));
  QUERN_API_ASSIGN(const auto description, tool.String("description"));
  QUERN_API_ASSIGN(const CustomFormat format, ReadCustomFormat(tool));
  json::object input{{"type", "string"}};
  if (!format.pattern.empty()) input.emplace("pattern", format.pattern);
  json::object function;
  function.emplace("name", name);
  function.emplace("description", std::string(description.value_or("")) + format.told);
  function.emplace("parameters", json::object{{"type", "object"},
                                              {"properties", {{"input", std::move(input)}}},
                                              {"required", json::array{"input"}}});
  if (!format.pattern.empty() || !format.lark.empty()) function.emplace("strict", true);
  QUERN_API_ASSIGN(chat::Tool read, ReadFunctionTool(ObjectReader(function, tool.path()), kMaxAnthropicToolName));
  read.text_grammar = format.lark;
  return read;
}

}  // namespace

ApiResult<void> ReadResponsesTools(const ObjectReader& body, const Limits& limits, ResponsesRequest& request) {
  QUERN_API_ASSIGN(const json::array* tools, body.Array("tools"));
  if (tools != nullptr) {
    QUERN_API_TRY(CheckToolCount(*tools, "tools", limits));
    for (size_t i = 0; i < tools->size(); ++i) {
      const std::string path = fmt::format("tools[{}]", i);
      if (!(*tools)[i].is_object()) return Fail(WrongKind(path, "an object", (*tools)[i]));
      const ObjectReader tool((*tools)[i].get_object(), path);
      QUERN_API_ASSIGN(const std::string_view type, tool.NeedString("type"));
      if (type == "function") {
        QUERN_API_ASSIGN(chat::Tool read, ReadFlatFunction(tool));
        request.chat.tools.push_back(std::move(read));
      } else if (type == "custom") {
        QUERN_API_ASSIGN(chat::Tool read, ReadCustomTool(tool));
        request.frame.custom_tools.insert(read.name);
        request.chat.tools.push_back(std::move(read));
      }
      // Tools that a provider hosts (web_search, local_shell, namespace, ...) come by default from some clients.
    }
  }
  QUERN_API_TRY(ReadToolChoice(body, request.chat));
  QUERN_API_ASSIGN(const auto parallel, body.Bool("parallel_tool_calls"));
  request.chat.parallel_tool_calls = parallel.value_or(true);
  return {};
}

}  // namespace quern::api
