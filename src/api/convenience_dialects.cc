// Errors of llama.cpp's and Ollama's own routes.
#include "api/dialect.h"
#include "api/ids.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

std::string LlamaCppErrorJson(const ApiError& error, std::string_view) {
  JsonWriter json;
  json.BeginObject().Key("error").BeginObject();
  json.Key("code").Int(error.http_status);
  json.Key("message").SanitizedString(error.message);
  json.Key("type").String(error.type);
  for (const auto& [name, value] : error.numbers) json.Key(name).Int(value);
  json.EndObject().EndObject();
  return json.Take();
}

std::string OllamaErrorJson(const ApiError& error, std::string_view) {
  JsonWriter json;
  json.BeginObject().Key("error").SanitizedString(error.message).EndObject();
  return json.Take();
}

}  // namespace

const Dialect kLlamaCppDialect = {"llamacpp", LlamaCppErrorJson, nullptr, "x-request-id", NewUuid};
const Dialect kOllamaDialect = {"ollama", OllamaErrorJson, nullptr, "x-request-id", NewUuid};

}  // namespace quern::api
