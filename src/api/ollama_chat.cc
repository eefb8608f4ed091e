#include "api/ollama_chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <chrono>
#include <ctime>
#include <deque>

#include "api/json_writer.h"
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

class OllamaWriter final : public ChatWriter {
 public:
  explicit OllamaWriter(OllamaShape shape) : shape_(shape) {}

  void Attach(Exchange& exchange, const ChatTurn& turn) override {
    exchange_ = &exchange;
    turn_ = &turn;
  }

  void Begin() override { exchange_->StartStream("application/x-ndjson"); }

  void Delta(size_t, const ChatDelta& delta, const Usage&) override {
    MarkFirst();
    for (const ToolDelta& tool : delta.tools) {
      if (tool.begin) calls_.push_back({tool.id, tool.name, ""});
      if (!calls_.empty()) calls_.back().arguments += tool.arguments;
    }
    if (!delta.content.empty()) WriteLine(delta.content, {});
  }

  // No blank lines: every line of this protocol is an object, and an empty piece of text is one.
  void KeepAlive(size_t, const Usage&) override { WriteLine("", {}); }

  void EndChoice(size_t, const ChoiceEnd& end, const Usage&) override {
    if (!calls_.empty()) WriteLine("", calls_);
    finish_reason_ = end.finish_reason;
  }

  void End(const Usage& usage) override {
    exchange_->WriteRaw(FinalJson("", {}, usage) + "\n");
    exchange_->EndStream(200);
  }

  void Fail(const ApiError& error) override {
    exchange_->WriteRaw(exchange_->dialect().error_json(error, "") + "\n");
    exchange_->EndStream(error.http_status);
  }

  std::string Whole(std::span<const WholeChoice> choices, const Usage& usage) override {
    MarkFirst();
    finish_reason_ = choices[0].end.finish_reason;
    return FinalJson(choices[0].content, choices[0].calls, usage);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void MarkFirst() {
    if (first_ == Clock::time_point{}) first_ = Clock::now();
  }

  void WriteHead(JsonWriter& out) const {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    out.BeginObject().Key("model").String(turn_->request.fields.model_name);
    out.Key("created_at").String(OllamaTime(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
  }

  void WriteText(JsonWriter& out, std::string_view content, std::span<const WholeCall> calls) const {
    if (shape_ == OllamaShape::kResponse) {
      out.Key("response").String(content);
      return;
    }
    out.Key("message").BeginObject().Key("role").String("assistant").Key("content").String(content);
    if (!calls.empty()) {
      out.Key("tool_calls").BeginArray();
      for (const WholeCall& call : calls) {
        out.BeginObject().Key("function").BeginObject().Key("name").SanitizedString(call.name);
        out.Key("arguments").Raw(ArgumentsObject(call.arguments)).EndObject().EndObject();
      }
      out.EndArray();
    }
    out.EndObject();
  }

  // A call that was cut has no whole object; what there is of it is kept in one.
  static std::string ArgumentsObject(const std::string& arguments) {
    json::error_code error;
    const json::value parsed = json::parse(arguments, error);
    if (!error && parsed.is_object()) return arguments;
    JsonWriter out;
    out.BeginObject().Key("incomplete").SanitizedString(arguments).EndObject();
    return out.Take();
  }

  void WriteLine(std::string_view content, std::span<const WholeCall> calls) const {
    JsonWriter out;
    WriteHead(out);
    WriteText(out, content, calls);
    out.Key("done").Bool(false).EndObject();
    exchange_->WriteRaw(out.text());
    exchange_->WriteRaw("\n");
  }

  std::string FinalJson(std::string_view content, std::span<const WholeCall> calls, const Usage& usage) {
    MarkFirst();
    const auto ns = [](Clock::duration span) -> int64_t {
      return std::chrono::duration_cast<std::chrono::nanoseconds>(span).count();
    };
    const Clock::time_point now = Clock::now();
    JsonWriter out;
    WriteHead(out);
    WriteText(out, content, calls);
    out.Key("done").Bool(true).Key("done_reason").String(finish_reason_ == "length" ? "length" : "stop");
    out.Key("total_duration").Int(ns(now - began_)).Key("load_duration").Int(0);
    out.Key("prompt_eval_count").Int(usage.n_prompt).Key("prompt_eval_duration").Int(ns(first_ - began_));
    out.Key("eval_count").Int(usage.n_generated).Key("eval_duration").Int(ns(now - first_)).EndObject();
    return out.Take();
  }

  const OllamaShape shape_;
  Exchange* exchange_ = nullptr;
  const ChatTurn* turn_ = nullptr;
  std::vector<WholeCall> calls_;
  std::string finish_reason_;
  const Clock::time_point began_ = Clock::now();
  Clock::time_point first_{};
};

}  // namespace

std::string OllamaTime(int64_t unix_ms) {
  const auto at = static_cast<std::time_t>(unix_ms / 1000);
  std::tm utc{};
  gmtime_r(&at, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, unix_ms % 1000);
}

ApiResult<std::shared_ptr<const ServedModel>> ReadOllamaModel(json::object& body, const ModelRegistry& models) {
  constexpr std::string_view kLatest = ":latest";
  if (const std::string_view name = TextOf(body, "model"); name.ends_with(kLatest)) {
    const std::string bare(name.substr(0, name.size() - kLatest.size()));
    body["model"] = bare;
  }
  return ReadModel(ObjectReader(body, ""), models);
}

ApiResult<ChatRequest> ReadOllamaChat(json::object body, const ServedModel& model, const Limits& limits) {
  if (json::value* messages = body.if_contains("messages")) QUERN_API_TRY(ConvertMessages(*messages));
  QUERN_API_ASSIGN(const json::object flat, Flatten(body));
  return ReadChatRequest(ObjectReader(flat, ""), model, limits, RoutePrefix::kBare);
}

ApiResult<ChatRequest> ReadOllamaGenerate(json::object body, const ServedModel& model, const Limits& limits) {
  for (const char* name : {"suffix", "template", "context", "images"}) {
    const json::value* value = body.if_contains(name);
    if (value == nullptr || IsEmptyList(*value) || (value->is_string() && value->get_string().empty())) continue;
    return Fail(BadField(
        name, fmt::format("'{}' is not supported here: /infill fills in, /v1/completions takes raw text.", name),
        "unsupported"));
  }
  QUERN_API_ASSIGN(const auto raw, ObjectReader(body, "").Bool("raw"));
  if (raw.value_or(false)) {
    return Fail(BadField("raw", "'raw' is not supported here: /v1/completions takes raw text.", "unsupported"));
  }
  json::array messages;
  if (const std::string_view system = TextOf(body, "system"); !system.empty()) {
    messages.push_back(json::object{{"role", "system"}, {"content", system}});
  }
  const json::value* prompt = body.if_contains("prompt");
  messages.push_back(json::object{{"role", "user"}, {"content", prompt == nullptr ? json::value("") : *prompt}});
  body["messages"] = std::move(messages);
  body.erase("tools");
  QUERN_API_ASSIGN(const json::object flat, Flatten(body));
  return ReadChatRequest(ObjectReader(flat, ""), model, limits, RoutePrefix::kBare);
}

std::unique_ptr<ChatWriter> NewOllamaWriter(OllamaShape shape) { return std::make_unique<OllamaWriter>(shape); }

}  // namespace quern::api
