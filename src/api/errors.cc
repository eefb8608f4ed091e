#include "api/errors.h"

#include <algorithm>
#include <array>

#include "api/json_writer.h"

namespace quern::api {

namespace {

struct Row {
  Code code;
  int http_status;
  std::string_view type;
  std::string_view api_code;
  int retry_after_s;
};

// Limits that a request itself passes are answered 400 by the dialects before the engine sees them; kExhausted from
// below therefore means a full queue, which waiting cures.
constexpr std::array kRows = {
    Row{Code::kInvalidArgument, 400, "invalid_request_error", "invalid_value", 0},
    Row{Code::kNotFound, 404, "invalid_request_error", "not_found", 0},
    Row{Code::kPermission, 403, "permission_error", "access_denied", 0},
    Row{Code::kExhausted, 503, "server_error", "overloaded", 1},
    Row{Code::kUnavailable, 503, "server_error", "model_unavailable", 1},
    Row{Code::kCancelled, 499, "server_error", "cancelled", 0},
    Row{Code::kDeadline, 503, "server_error", "time_limit_exceeded", 1},
    Row{Code::kUnsupported, 400, "invalid_request_error", "unsupported", 0},
    Row{Code::kCorrupt, 500, "server_error", "internal_error", 0},
    Row{Code::kInternal, 500, "server_error", "internal_error", 0},
};

void WriteNullable(JsonWriter& json, std::string_view key, std::string_view value) {
  json.Key(key);
  if (value.empty()) {
    json.Null();
  } else {
    json.SanitizedString(value);
  }
}

}  // namespace

ApiError BadField(std::string param, std::string message, std::string code) {
  ApiError error;
  error.param = std::move(param);
  error.message = std::move(message);
  error.code = std::move(code);
  return error;
}

ApiError FromStatus(const Status& status) {
  const auto* row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.code == status.code(); });
  if (row == kRows.end()) row = kRows.end() - 1;
  ApiError error;
  error.http_status = row->http_status;
  error.type = row->type;
  error.code = row->api_code;
  error.retry_after_s = row->retry_after_s;
  error.message = status.message().empty() ? "internal error" : status.message();
  return error;
}

std::string ErrorJson(const ApiError& error, std::string_view request_id) {
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

}  // namespace quern::api
