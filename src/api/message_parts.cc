#include "api/message_parts.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>

namespace quern::api {

namespace json = boost::json;

namespace {

// Depth of a tool call's arguments inside their string.
constexpr size_t kMaxArgumentsDepth = 64;

}  // namespace

json::value ParseCallArguments(std::string_view text) {
  if (text.empty()) return json::object();
  json::error_code error;
  json::parse_options options;
  options.max_depth = kMaxArgumentsDepth;
  json::value parsed = json::parse(text, error, json::storage_ptr(), options);
  if (!error && parsed.is_object()) return parsed;
  return json::string(text);
}

ApiResult<void> CheckPartCount(const json::array& parts, const std::string& path, const Limits& limits) {
  if (parts.size() <= limits.max_content_parts) return {};
  return Fail(BadField(path,
                       fmt::format("'{}' has {} parts, at most {} are allowed (limit max_content_parts).", path,
                                   parts.size(), limits.max_content_parts),
                       "invalid_value"));
}

void OrderToolResults(std::vector<chat::Message>& messages) {
  std::vector<chat::Message> out;
  out.reserve(messages.size());
  for (size_t i = 0; i < messages.size();) {
    const std::vector<chat::ToolCall> calls = messages[i].tool_calls;
    out.push_back(std::move(messages[i++]));
    if (calls.empty() || i == messages.size()) continue;
    size_t end = i;
    while (end < messages.size() && messages[end].role == chat::Role::kTool) ++end;
    std::vector<char> used(end - i, 0);
    for (const chat::ToolCall& call : calls) {
      chat::Message result;
      result.role = chat::Role::kTool;
      result.tool_call_id = call.id;
      result.name = call.name;
      for (size_t k = i; k < end; ++k) {
        if (used[k - i] != 0 || messages[k].tool_call_id != call.id) continue;
        used[k - i] = 1;
        result = std::move(messages[k]);
        break;
      }
      out.push_back(std::move(result));
    }
    for (size_t k = i; k < end; ++k) {
      if (used[k - i] == 0) out.push_back(std::move(messages[k]));
    }
    i = end;
  }
  messages = std::move(out);
}

}  // namespace quern::api
