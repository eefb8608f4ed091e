// Tools and the choice among them, as far as the dialects agree: function declarations, and OpenAI's forms of
// tool_choice.
#pragma once

#include <boost/json/array.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "api/chat_request.h"
#include "api/errors.h"
#include "api/json_reader.h"
#include "api/limits.h"

namespace quern::api {

inline constexpr size_t kMaxOpenAiToolName = 64;
inline constexpr size_t kMaxAnthropicToolName = 128;

// {"name", "description", "parameters", "strict", ...}, checked; kept with its own keys in their order because
// templates render them all. Errors: 400 naming the field.
ApiResult<chat::Tool> ReadFunctionTool(const ObjectReader& function, size_t max_name = kMaxOpenAiToolName);

// 400 beyond limits.max_tools.
ApiResult<void> CheckToolCount(const boost::json::array& list, const std::string& path, const Limits& limits);

// Sets tool_choice to kNamed. Errors: 400 (no such tool in request.tools).
ApiResult<void> ForceTool(std::string_view name, const std::string& path, ChatRequest& request);

// auto, none, required; any means required. Errors: 400.
ApiResult<void> ReadChoiceWord(std::string_view word, const std::string& path, ChatRequest& request);
ApiError BadChoice(const std::string& path, std::string_view seen);

// `tool_choice`: a word, {"type":"function","name"} (or with the name inside "function"; "custom" alike), or
// {"type":"allowed_tools","mode","tools"} (or inside "allowed_tools"), which narrows request.tools: the model is shown,
// and the parser accepts, only these. request.tools must have been read. Errors: 400.
ApiResult<void> ReadToolChoice(const ObjectReader& body, ChatRequest& request);

// After tools, choice and messages were read: a call cannot be forced without tools or inside a message that is
// continued. Errors: 400 on tool_choice.
ApiResult<void> CheckForcedCall(const ChatRequest& request);

}  // namespace quern::api
