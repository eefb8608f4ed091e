#include "api/responses_request.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <limits>

#include "api/json_writer.h"
#include "api/tool_fields.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// What would change the answer and is not done here is refused, not passed over.
ApiResult<void> RefuseUnsupported(const ObjectReader& body) {
  QUERN_API_ASSIGN(const auto background, body.Bool("background"));
  if (background.value_or(false)) {
    return Fail(BadField("background", "'background' responses are not supported; send the request without it.",
                         "unsupported"));
  }
  for (const char* name : {"conversation", "prompt"}) {
    if (!body.Has(name)) continue;
    return Fail(BadField(name,
                         fmt::format("'{}' is not supported by this server: send the items themselves in 'input', or "
                                     "use 'previous_response_id'.",
                                     name),
                         "unsupported"));
  }
  QUERN_API_ASSIGN(const auto truncation, body.String("truncation"));
  if (truncation && *truncation != "auto" && *truncation != "disabled") {
    return Fail(BadField("truncation",
                         fmt::format("Invalid value for 'truncation': '{}' is not one of 'auto' and 'disabled'.",
                                     truncation->substr(0, 60)),
                         "invalid_value"));
  }
  return {};
}

// text.format: as response_format, with the members of json_schema beside its type.
ApiResult<std::shared_ptr<const OutputFormat>> ReadTextFormat(const ObjectReader& body) {
  QUERN_API_ASSIGN(const json::object* text, body.Object("text"));
  if (text == nullptr) return nullptr;
  QUERN_API_ASSIGN(const json::object* format, ObjectReader(*text, "text").Object("format"));
  if (format == nullptr) return nullptr;
  QUERN_API_ASSIGN(const std::string_view type, ObjectReader(*format, "text.format").NeedString("type"));
  json::object response_format{{"type", type}};
  if (type == "json_schema") {
    json::object inner = *format;
    inner.erase("type");
    response_format["json_schema"] = std::move(inner);
  }
  return ReadOutputFormat(std::move(response_format));
}

ApiResult<void> ReadLogprobs(const ObjectReader& body, const Limits& limits, ChatRequest& request) {
  QUERN_API_ASSIGN(const auto top, body.Int("top_logprobs", 0, limits.max_top_logprobs));
  request.top_logprobs = static_cast<int>(top.value_or(0));
  request.logprobs = request.top_logprobs > 0;
  QUERN_API_ASSIGN(const json::array* include, body.Array("include"));
  if (include == nullptr) return {};
  for (size_t i = 0; i < include->size(); ++i) {
    const json::value& item = (*include)[i];
    if (!item.is_string()) return Fail(WrongKind(fmt::format("include[{}]", i), "a string", item));
    request.logprobs |= item.get_string() == "message.output_text.logprobs";
  }
  return {};
}

ApiResult<GenerationFields> ReadFields(const ObjectReader& body, const ServedModel& model) {
  GenerationFields fields;
  QUERN_API_ASSIGN(const std::string_view name, body.NeedString("model"));
  fields.model_name = name;
  QUERN_API_ASSIGN(const auto stream, body.Bool("stream"));
  fields.stream = stream.value_or(false);
  QUERN_API_ASSIGN(fields.max_tokens, body.Int("max_output_tokens", 1, std::numeric_limits<int64_t>::max()));
  QUERN_API_TRY(ReadSampling(body, model.backend->info().defaults, FieldsFor::kChat, fields.sampling));
  return fields;
}

// As the client sent it, or otherwise.
void Repeat(JsonWriter& json, const ObjectReader& body, std::string_view name, std::string_view otherwise) {
  const json::value* value = body.Find(name);
  json.Key(name).Raw(value == nullptr ? std::string(otherwise) : json::serialize(*value));
}

// Members of the response object whose values the request decided.
ApiResult<std::string> EchoOf(const ObjectReader& body, const ResponsesRequest& request) {
  QUERN_API_TRY(body.String("previous_response_id"));
  QUERN_API_TRY(body.Object("reasoning"));
  QUERN_API_TRY(body.Object("metadata"));
  QUERN_API_TRY(body.String("user"));
  const GenerationFields& fields = request.chat.fields;
  JsonWriter json;
  Repeat(json, body, "instructions", "null");
  Repeat(json, body, "max_output_tokens", "null");
  json.Key("parallel_tool_calls").Bool(request.chat.parallel_tool_calls);
  Repeat(json, body, "previous_response_id", "null");
  Repeat(json, body, "reasoning", R"({"effort":null,"summary":null})");
  json.Key("store").Bool(request.frame.store);
  json.Key("temperature").Logprob(fields.sampling.temperature);
  Repeat(json, body, "text", R"({"format":{"type":"text"}})");
  Repeat(json, body, "tool_choice", R"("auto")");
  Repeat(json, body, "tools", "[]");
  json.Key("top_logprobs").Int(request.chat.top_logprobs);
  json.Key("top_p").Logprob(fields.sampling.top_p);
  Repeat(json, body, "truncation", R"("disabled")");
  Repeat(json, body, "metadata", "{}");
  Repeat(json, body, "user", "null");
  return json.Take();
}

}  // namespace

json::value ParseStored(std::string_view text) {
  json::parse_options options;
  options.max_depth = 1024;  // whatever a body may nest, and the little that is built around it
  return json::parse(text, json::storage_ptr(), options);
}

ApiResult<ResponsesRequest> ReadResponsesRequest(const ObjectReader& body, const ServedModel& model,
                                                 const Limits& limits, const StoredTurns& stored) {
  ResponsesRequest request;
  QUERN_API_TRY(RefuseUnsupported(body));
  QUERN_API_ASSIGN(const auto store, body.Bool("store"));
  request.frame.store = store.value_or(true);
  json::array items;
  QUERN_API_TRY(ReadResponsesInput(body, limits, stored, request.chat, request.frame.store ? &items : nullptr));
  if (request.frame.store) request.frame.input = json::serialize(items);
  QUERN_API_ASSIGN(request.chat.fields, ReadFields(body, model));
  QUERN_API_TRY(ReadResponsesTools(body, limits, request));
  QUERN_API_ASSIGN(request.chat.fields.format, ReadTextFormat(body));
  QUERN_API_TRY(ReadLogprobs(body, limits, request.chat));
  QUERN_API_TRY(CheckForcedCall(request.chat));
  QUERN_API_ASSIGN(request.frame.echoed, EchoOf(body, request));
  return request;
}

}  // namespace quern::api
