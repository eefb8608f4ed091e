#include "api/ollama_chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <charconv>
#include <chrono>
#include <deque>
#include <optional>

#include "api/openai_chat.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// Ollama's options, by the names of the OpenAI family where these differ.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kOptions = {{
    {"num_predict", "max_tokens"},
    {"temperature", "temperature"},
    {"top_k", "top_k"},
    {"top_p", "top_p"},
    {"min_p", "min_p"},
    {"repeat_penalty", "repeat_penalty"},
    {"presence_penalty", "presence_penalty"},
    {"frequency_penalty", "frequency_penalty"},
    {"seed", "seed"},
    {"stop", "stop"},
}};

// Ollama's calls have no ids: each gets one, and the results that follow answer them in order, or by name.
class CallIds {
 public:
  std::string Open(std::string_view name) {
    open_.emplace_back(name, fmt::format("call_{}", n_++));
    return open_.back().second;
  }
  // Empty when no call waits for a result.
  std::string Answer(std::string_view name) {
    auto found = open_.begin();
    if (!name.empty()) {
      found = std::find_if(open_.begin(), open_.end(), [&](const auto& call) { return call.first == name; });
      if (found == open_.end()) found = open_.begin();
    }
    if (found == open_.end()) return {};
    std::string id = std::move(found->second);
    open_.erase(found);
    return id;
  }

 private:
  std::deque<std::pair<std::string, std::string>> open_;
  int n_ = 0;
};

std::string_view TextOf(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

bool IsEmptyList(const json::value& value) {
  return value.is_null() || (value.is_array() && value.get_array().empty());
}

void GiveIds(json::value& calls, CallIds& ids) {
  if (!calls.is_array()) return;
  for (json::value& call : calls.get_array()) {
    if (!call.is_object()) continue;
    const json::value* function = call.get_object().if_contains("function");
    const bool named = function != nullptr && function->is_object();
    const std::string id = ids.Open(named ? TextOf(function->get_object(), "name") : std::string_view());
    if (!call.get_object().contains("id")) call.get_object()["id"] = id;
  }
}

// Messages of the OpenAI family. What is wrong with them is found there.
ApiResult<void> ConvertMessages(json::value& messages) {
  if (!messages.is_array()) return {};
  CallIds ids;
  size_t i = 0;
  for (json::value& each : messages.get_array()) {
    const std::string path = fmt::format("messages[{}]", i++);
    if (!each.is_object()) continue;
    json::object& message = each.get_object();
    if (const json::value* images = message.if_contains("images"); images != nullptr && !IsEmptyList(*images)) {
      return Fail(BadField(path + ".images", "This model takes no images.", "unsupported"));
    }
    if (json::value* calls = message.if_contains("tool_calls")) GiveIds(*calls, ids);
    if (TextOf(message, "role") != "tool" || message.contains("tool_call_id")) continue;
    const std::string id = ids.Answer(TextOf(message, "tool_name"));
    if (!id.empty()) message["tool_call_id"] = id;
  }
  return {};
}

// "json" or a schema.
ApiResult<void> ConvertFormat(const json::value& format, json::object& flat) {
  if (format.is_null() || (format.is_string() && format.get_string().empty())) return {};
  json::object response_format;
  if (format.is_string() && format.get_string() == "json") {
    response_format["type"] = "json_object";
  } else if (format.is_object()) {
    response_format["type"] = "json_schema";
    response_format["json_schema"] = json::object{{"name", "format"}, {"schema", format}, {"strict", true}};
  } else {
    return Fail(BadField("format", "'format' must be \"json\" or a JSON schema.", "invalid_value"));
  }
  flat["response_format"] = std::move(response_format);
  return {};
}

// "5m", "1h30m", "-1", "0" and numbers of seconds, as Go writes durations; negative = for good.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 4> kUnits = {
      {{"ms", 1}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}}};
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double total_ms = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (ec != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const auto unit = std::ranges::find_if(kUnits, [&](const auto& u) { return text.starts_with(u.first); });
    if (unit == kUnits.end() && !text.empty()) return std::nullopt;
    total_ms += number * (unit == kUnits.end() ? 1000 : unit->second);
    if (unit != kUnits.end()) text.remove_prefix(unit->first.size());
  }
  constexpr double kMostMs = 1e15;  // as good as for good
  return std::chrono::milliseconds(static_cast<int64_t>(negative ? -1 : std::min(total_ms, kMostMs)));
}

// What both routes have in common from here on.
ApiResult<ChatRequest> ReadFlat(const json::object& body, const json::object& flat, const ServedModel& model,
                                const Limits& limits) {
  QUERN_API_ASSIGN(const auto keep_alive, ReadOllamaKeepAlive(body));
  QUERN_API_ASSIGN(ChatRequest request, ReadChatRequest(ObjectReader(flat, ""), model, limits, RoutePrefix::kBare));
  request.fields.keep_alive = keep_alive;
  return request;
}

ApiResult<json::object> Flatten(json::object& body) {
  json::object flat;
  for (const char* name : {"model", "messages", "tools"}) {
    if (json::value* value = body.if_contains(name)) flat[name] = std::move(*value);
  }
  const json::value* stream = body.if_contains("stream");
  flat["stream"] = stream == nullptr || stream->is_null() ? json::value(true) : *stream;
  if (const json::value* format = body.if_contains("format")) QUERN_API_TRY(ConvertFormat(*format, flat));
  QUERN_API_ASSIGN(const json::object* options, ObjectReader(body, "").Object("options"));
  if (options == nullptr) return flat;
  for (const auto& [theirs, ours] : kOptions) {
    const json::value* value = options->if_contains(theirs);
    if (value == nullptr || value->is_null()) continue;
    // -1 and -2 mean no end and as much as fits, a negative seed any.
    const bool negative = value->is_int64() && value->get_int64() < 0;
    if (negative && (ours == "seed" || ours == "max_tokens")) continue;
    flat[ours] = *value;
  }
  return flat;
}

ApiResult<void> RefuseUnsupported(const json::object& body) {
  for (const char* name : {"template", "context", "images"}) {
    const json::value* value = body.if_contains(name);
    if (value == nullptr || IsEmptyList(*value) || (value->is_string() && value->get_string().empty())) continue;
    return Fail(BadField(
        name, fmt::format("'{}' is not supported here: 'raw' takes a text as it is, /api/chat a conversation.", name),
        "unsupported"));
  }
  return {};
}

}  // namespace

ApiResult<std::shared_ptr<const ServedModel>> ReadOllamaModel(json::object& body, const ModelRegistry& models) {
  constexpr std::string_view kLatest = ":latest";
  if (const std::string_view name = TextOf(body, "model"); name.ends_with(kLatest)) {
    const std::string bare(name.substr(0, name.size() - kLatest.size()));
    body["model"] = bare;
  }
  return ReadModel(ObjectReader(body, ""), models);
}

ApiResult<std::optional<std::chrono::milliseconds>> ReadOllamaKeepAlive(const json::object& body) {
  const json::value* value = body.if_contains("keep_alive");
  if (value == nullptr || value->is_null()) return std::nullopt;
  std::optional<std::chrono::milliseconds> keep_alive;
  if (value->is_string()) {
    keep_alive = ParseDuration(std::string_view(value->get_string()));
  } else if (value->is_number()) {
    keep_alive = ParseDuration(fmt::format("{:.3f}", value->to_number<double>()));
  }
  if (keep_alive) return keep_alive;
  return Fail(
      BadField("keep_alive", "'keep_alive' must be a number of seconds or a duration like \"5m\".", "invalid_value"));
}

ApiResult<ChatRequest> ReadOllamaChat(json::object body, const ServedModel& model, const Limits& limits) {
  if (json::value* messages = body.if_contains("messages")) QUERN_API_TRY(ConvertMessages(*messages));
  QUERN_API_ASSIGN(const json::object flat, Flatten(body));
  return ReadFlat(body, flat, model, limits);
}

ApiResult<bool> IsOllamaText(const json::object& body) {
  const ObjectReader reader(body, "");
  QUERN_API_ASSIGN(const auto raw, reader.Bool("raw"));
  QUERN_API_ASSIGN(const auto suffix, reader.String("suffix"));
  return raw.value_or(false) || !suffix.value_or("").empty();
}

ApiResult<CompletionRequest> ReadOllamaText(json::object body, const ServedModel& model, const Limits& limits) {
  QUERN_API_TRY(RefuseUnsupported(body));
  QUERN_API_ASSIGN(const std::string_view given, ObjectReader(body, "").NeedString("prompt"));
  const std::string prompt(given);
  const std::string suffix(TextOf(body, "suffix"));
  QUERN_API_ASSIGN(json::object flat, Flatten(body));
  flat["prompt"] = prompt;
  if (!suffix.empty()) flat["suffix"] = suffix;
  QUERN_API_ASSIGN(CompletionRequest request,
                   ReadCompletionRequest(ObjectReader(flat, ""), model, limits, CompletionShape::kText));
  request.default_max_tokens = -1;
  QUERN_API_ASSIGN(request.fields.keep_alive, ReadOllamaKeepAlive(body));
  return request;
}

ApiResult<ChatRequest> ReadOllamaGenerate(json::object body, const ServedModel& model, const Limits& limits) {
  QUERN_API_TRY(RefuseUnsupported(body));
  json::array messages;
  if (const std::string_view system = TextOf(body, "system"); !system.empty()) {
    messages.push_back(json::object{{"role", "system"}, {"content", system}});
  }
  const json::value* prompt = body.if_contains("prompt");
  messages.push_back(json::object{{"role", "user"}, {"content", prompt == nullptr ? json::value("") : *prompt}});
  body["messages"] = std::move(messages);
  body.erase("tools");
  QUERN_API_ASSIGN(const json::object flat, Flatten(body));
  return ReadFlat(body, flat, model, limits);
}

}  // namespace quern::api
