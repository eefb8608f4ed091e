#include "api/dialect.h"
#include "api/ids.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

void WriteNullable(JsonWriter& json, std::string_view key, std::string_view value) {
  json.Key(key);
  if (value.empty()) {
    json.Null();
  } else {
    json.SanitizedString(value);
  }
}

std::string OpenAiErrorJson(const ApiError& error, std::string_view request_id) {
  JsonWriter json;
  json.BeginObject().Key("error").BeginObject();
  json.Key("message").SanitizedString(error.message);
  json.Key("type").String(error.type);
  WriteNullable(json, "param", error.param);
  WriteNullable(json, "code", error.code);
  for (const auto& [name, value] : error.numbers) json.Key(name).Int(value);
  json.EndObject();
  if (!request_id.empty()) json.Key("request_id").String(request_id);
  json.EndObject();
  return json.Take();
}

}  // namespace

const Dialect kOpenAiDialect = {"openai", OpenAiErrorJson, nullptr, "x-request-id", NewUuid};

}  // namespace quern::api
