#include "api/anthropic_messages.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <limits>

#include "api/tool_fields.h"

namespace quern::api {

namespace json = boost::json;

namespace {

ApiResult<void> ReadStopSequences(const ObjectReader& body, const Limits& limits, GenerationFields& fields) {
  QUERN_API_ASSIGN(const json::array* list, body.Array("stop_sequences"));
  if (list == nullptr) return {};
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = fmt::format("stop_sequences.{}", i);
    if (!(*list)[i].is_string()) return Fail(WrongKind(path, "a string", (*list)[i]));
    QUERN_API_TRY(AddStop(std::string((*list)[i].get_string()), path, limits, fields));
  }
  return {};
}

ApiResult<GenerationFields> ReadFields(const ObjectReader& body, const ServedModel& model, const Limits& limits) {
  GenerationFields fields;
  QUERN_API_ASSIGN(const std::string_view name, body.NeedString("model"));
  fields.model_name = name;
  QUERN_API_ASSIGN(const auto stream, body.Bool("stream"));
  fields.stream = stream.value_or(false);
  QUERN_API_ASSIGN(fields.max_tokens, body.Int("max_tokens", 1, std::numeric_limits<int64_t>::max()));
  QUERN_API_TRY(ReadSampling(body, model.backend->info().defaults, FieldsFor::kChat, fields.sampling));
  QUERN_API_TRY(ReadStopSequences(body, limits, fields));
  QUERN_API_TRY(body.Object("metadata"));
  return fields;
}

// output_config.format, and output_format as it was called before: {"type":"json_schema","schema":...}.
ApiResult<std::shared_ptr<const OutputFormat>> ReadAnthropicFormat(const ObjectReader& body) {
  QUERN_API_ASSIGN(const json::object* config, body.Object("output_config"));
  std::string path = "output_format";
  QUERN_API_ASSIGN(const json::object* format, body.Object(path));
  if (config != nullptr) {
    const ObjectReader reader(*config, "output_config");
    QUERN_API_ASSIGN(const json::object* inner, reader.Object("format"));
    if (inner != nullptr) {
      format = inner;
      path = reader.PathOf("format");
    }
  }
  if (format == nullptr) return nullptr;
  const ObjectReader reader(*format, path);
  QUERN_API_ASSIGN(const std::string_view type, reader.NeedString("type"));
  QUERN_API_ASSIGN(const json::object* schema, reader.Object("schema"));
  if (type != "json_schema" || schema == nullptr) {
    return Fail(BadField(path, fmt::format("'{}' must be a 'json_schema' with a 'schema'.", path), "invalid_value"));
  }
  return ReadOutputFormat(
      json::object{{"type", "json_schema"},
                   {"json_schema", json::object{{"name", "output"}, {"schema", *schema}, {"strict", true}}}});
}

}  // namespace

ApiResult<ChatRequest> ReadAnthropicRequest(const ObjectReader& body, const ServedModel& model, const Limits& limits) {
  ChatRequest request;
  QUERN_API_TRY(ReadAnthropicTurns(body, limits, request));
  QUERN_API_ASSIGN(request.fields, ReadFields(body, model, limits));
  QUERN_API_TRY(ReadAnthropicTools(body, limits, request));
  QUERN_API_ASSIGN(request.fields.format, ReadAnthropicFormat(body));
  QUERN_API_TRY(CheckForcedCall(request));
  return request;
}

}  // namespace quern::api
