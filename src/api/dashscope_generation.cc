#include "api/dashscope_generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cctype>
#include <limits>

#include "api/openai_chat.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// A member that must be an object when it is there.
ApiResult<json::object> TakeObject(json::object& body, std::string_view name) {
  json::value* value = body.if_contains(name);
  if (value == nullptr || value->is_null()) return json::object();
  if (!value->is_object()) return Fail(WrongKind(std::string(name), "an object", *value));
  return std::move(value->get_object());
}

json::object Turn(std::string_view role, json::value content) {
  json::object turn;
  turn.emplace("role", role);
  turn.emplace("content", std::move(content));
  return turn;
}

ApiError NoInput() {
  return BadField("input", "Either \"prompt\" or \"messages\" must exist and cannot both be none", "InvalidParameter");
}

// history: [{"user":...,"bot":...}], long deprecated.
ApiResult<void> AppendHistory(const json::value& history, json::array& turns) {
  if (!history.is_array()) return Fail(WrongKind("input.history", "an array", history));
  for (const json::value& entry : history.get_array()) {
    if (!entry.is_object()) return Fail(WrongKind("input.history", "an array of objects", entry));
    if (const json::value* user = entry.get_object().if_contains("user")) turns.push_back(Turn("user", *user));
    if (const json::value* bot = entry.get_object().if_contains("bot")) turns.push_back(Turn("assistant", *bot));
  }
  return {};
}

// The native input as `messages` of the OpenAI family.
ApiResult<json::value> TakeMessages(json::object& input) {
  json::value* messages = input.if_contains("messages");
  json::value* prompt = input.if_contains("prompt");
  const bool has_messages = messages != nullptr && !messages->is_null();
  const bool has_prompt =
      prompt != nullptr && !prompt->is_null() && !(prompt->is_string() && prompt->as_string().empty());
  if (!has_messages && !has_prompt) return Fail(NoInput());
  if (has_messages && !messages->is_array()) return Fail(WrongKind("input.messages", "an array", *messages));
  json::array turns;
  if (has_messages) {
    turns = std::move(messages->get_array());
  } else if (const json::value* history = input.if_contains("history"); history != nullptr && !history->is_null()) {
    QUERN_API_TRY(AppendHistory(*history, turns));
  }
  if (has_prompt && !has_messages) {
    if (!prompt->is_string()) return Fail(WrongKind("input.prompt", "a string", *prompt));
    turns.push_back(Turn("user", std::move(*prompt)));
  }
  return json::value(std::move(turns));
}

struct Range {
  const char* name;
  double min;
  bool min_open;
  double max;
  bool max_open;
  const char* message;
};

// The ranges and texts that Model Studio documents; its SDKs' users grep for them.
constexpr double kNoEnd = std::numeric_limits<double>::infinity();
constexpr std::array kRanges = {
    Range{"temperature", 0, false, 2, true, "Temperature should be in [0.0, 2.0)"},
    Range{"top_p", 0, true, 1, false, "Range of top_p should be (0.0, 1.0]"},
    Range{"top_k", -1, false, kNoEnd, false, "Parameter top_k be greater than or equal to 0"},
    Range{"repetition_penalty", 0, true, kNoEnd, false, "Repetition_penalty should be greater than 0.0"},
    Range{"presence_penalty", -2, false, 2, false, "Presence_penalty should be in [-2.0, 2.0]"},
    Range{"n", 1, false, 4, false, "Range of n should be [1, 4]"},
};

ApiResult<void> CheckRanges(const json::object& parameters, const ServedModel& model) {
  const ObjectReader reader(parameters, "parameters");
  for (const Range& range : kRanges) {
    QUERN_API_ASSIGN(const auto value, reader.Number(range.name, -kNoEnd, kNoEnd));
    if (!value) continue;
    const bool low = range.min_open ? *value <= range.min : *value < range.min;
    const bool high = range.max_open ? *value >= range.max : *value > range.max;
    if (low || high) return Fail(BadField(reader.PathOf(range.name), range.message, "InvalidParameter"));
  }
  for (const char* name : {"max_tokens", "max_completion_tokens", "max_length"}) {
    QUERN_API_ASSIGN(const auto value, reader.Number(name, -kNoEnd, kNoEnd));
    if (!value || *value >= 1) continue;
    return Fail(BadField(reader.PathOf(name), fmt::format("Range of max_tokens should be [1, {}]", model.max_output()),
                         "InvalidParameter"));
  }
  return {};
}

// The parameters beside the messages, in one object as the OpenAI family has it.
json::object Flatten(std::string_view model, json::value messages, json::object parameters) {
  json::object flat = std::move(parameters);
  if (const json::value* length = flat.if_contains("max_length"); length != nullptr && !flat.contains("max_tokens")) {
    const json::value copy = *length;
    flat.emplace("max_tokens", copy);
  }
  // Native names whose meaning differs from the OpenAI family's.
  for (const char* name : {"stream", "stream_options", "model", "messages"}) flat.erase(name);
  flat.emplace("model", model);
  flat.emplace("messages", std::move(messages));
  return flat;
}

bool WantsStream(const HttpRequest& http, bool parameter) {
  if (http.Find("x-dashscope-sse") == "enable") return true;
  return parameter || http.Find("accept").find("text/event-stream") != std::string_view::npos;
}

// The open-weight models answer messages unless asked otherwise, the hosted ones text (api.md D.2).
DashScopeResult DefaultResult(std::string_view model) {
  std::string name(model);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  const bool is_open = name.find("instruct") != std::string::npos || name.find("coder-next") != std::string::npos;
  return is_open ? DashScopeResult::kMessage : DashScopeResult::kText;
}

ApiResult<DashScopeResult> ReadResultFormat(const ObjectReader& parameters, std::string_view model, bool has_tools) {
  QUERN_API_ASSIGN(const auto format, parameters.String("result_format"));
  if (format && *format != "message" && *format != "text") {
    return Fail(BadField("parameters.result_format",
                         "Invalid value for 'parameters.result_format': expected 'text' or 'message'.",
                         "InvalidParameter"));
  }
  if (has_tools || (format && *format == "message")) return DashScopeResult::kMessage;
  return format ? DashScopeResult::kText : DefaultResult(model);
}

ApiResult<std::string> ModelName(const json::object& body) {
  const ObjectReader reader(body, "");
  QUERN_API_ASSIGN(const auto name, reader.String("model"));
  if (!name || name->empty()) {
    return Fail(BadField("model", "Model is empty: give its name in 'model'.", "BadRequest.EmptyModel"));
  }
  return std::string(*name);
}

}  // namespace

ApiResult<std::shared_ptr<const ServedModel>> ReadDashScopeModel(const json::object& body,
                                                                 const ModelRegistry& models) {
  QUERN_API_TRY(ModelName(body));
  return ReadModel(ObjectReader(body, ""), models);
}

ApiResult<DashScopeRequest> ReadDashScopeRequest(json::object body, const HttpRequest& http, const ServedModel& model,
                                                 const Limits& limits) {
  QUERN_API_ASSIGN(const std::string name, ModelName(body));
  if (!body.contains("input")) {
    // `messages` at the top level is a common mistake, and has the text of missing messages.
    if (body.contains("messages") || body.contains("prompt")) return Fail(NoInput());
    return Fail(BadField("input", "Input is empty: give 'input.messages' or 'input.prompt'.", "BadRequest.EmptyInput"));
  }
  QUERN_API_ASSIGN(json::object input, TakeObject(body, "input"));
  QUERN_API_ASSIGN(json::object parameters, TakeObject(body, "parameters"));
  QUERN_API_ASSIGN(json::value messages, TakeMessages(input));
  QUERN_API_TRY(CheckRanges(parameters, model));

  DashScopeRequest request;
  const ObjectReader reader(parameters, "parameters");
  QUERN_API_ASSIGN(const auto incremental, reader.Bool("incremental_output"));
  QUERN_API_ASSIGN(const auto stream, reader.Bool("stream"));
  request.incremental = incremental.value_or(false);
  QUERN_API_ASSIGN(const json::array* tools, reader.Array("tools"));
  QUERN_API_ASSIGN(request.result, ReadResultFormat(reader, name, tools != nullptr && !tools->empty()));
  QUERN_API_ASSIGN(const auto n, reader.Int("n", 1, 4));
  if (n.value_or(1) > 1 && tools != nullptr && !tools->empty()) {
    return Fail(BadField("parameters.n", "Range of n should be [1, 1] when tools are given", "InvalidParameter"));
  }
  if (n.value_or(1) > 1) request.result = DashScopeResult::kMessage;

  const json::object flat = Flatten(name, std::move(messages), std::move(parameters));
  QUERN_API_ASSIGN(request.chat, ReadChatRequest(ObjectReader(flat, ""), model, limits, RoutePrefix::kCompatibleMode));
  request.chat.fields.stream = WantsStream(http, stream.value_or(false));
  return request;
}

ApiResult<DashScopeInput> ReadDashScopeInput(json::object body, const ServedModel& model, const Limits& limits) {
  QUERN_API_ASSIGN(const std::string name, ModelName(body));
  QUERN_API_ASSIGN(json::object input, TakeObject(body, "input"));
  DashScopeInput read;
  if (!input.contains("messages")) {
    QUERN_API_ASSIGN(const auto prompt, ObjectReader(input, "input").String("prompt"));
    if (!prompt) return Fail(NoInput());
    read.prompt = *prompt;
    return read;
  }
  QUERN_API_ASSIGN(json::value messages, TakeMessages(input));
  const json::object flat = Flatten(name, std::move(messages), {});
  QUERN_API_ASSIGN(read.chat, ReadChatRequest(ObjectReader(flat, ""), model, limits, RoutePrefix::kCompatibleMode));
  return read;
}

}  // namespace quern::api
