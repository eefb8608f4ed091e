// Errors of the native DashScope routes: {"code":...,"message":...,"request_id":...}, all three always there. api.md
// D.6.
#include <algorithm>
#include <array>

#include "api/dialect.h"
#include "api/ids.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

struct Row {
  std::string_view code;  // of ApiError; empty = any with this status
  int status;
  std::string_view native;
};

// The first row that fits.
constexpr std::array kRows = {
    Row{"invalid_api_key", 401, "InvalidApiKey"},
    Row{"model_not_found", 404, "ModelNotFound"},
    Row{"overloaded", 503, "ModelServingError"},
    Row{"", 400, "InvalidParameter"},
    Row{"", 401, "InvalidApiKey"},
    Row{"", 403, "AccessDenied"},
    Row{"", 404, "NotFound"},
    Row{"", 405, "UnsupportedOperation"},
    Row{"", 408, "RequestTimeOut"},
    Row{"", 413, "BadRequest.TooLarge"},
    Row{"", 415, "InternalError.Algo.InvalidParameter"},
    Row{"", 429, "Throttling"},
    Row{"", 431, "BadRequest.TooLarge"},
    Row{"", 500, "InternalError"},
    Row{"", 503, "ModelUnavailable"},
};

// Codes that are native already: CamelCase, or with a dot.
bool IsNative(std::string_view code) { return !code.empty() && code.front() >= 'A' && code.front() <= 'Z'; }

std::string_view NativeCode(const ApiError& error) {
  if (IsNative(error.code)) return error.code;
  const auto* row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& each) {
    return each.status == error.http_status && (each.code.empty() || each.code == error.code);
  });
  return row == kRows.end() ? "InternalError" : row->native;
}

std::string ErrorJson(const ApiError& error, std::string_view request_id) {
  JsonWriter json;
  json.BeginObject();
  json.Key("code").SanitizedString(NativeCode(error));
  json.Key("message").SanitizedString(error.message);
  json.Key("request_id").String(request_id);
  json.EndObject();
  return json.Take();
}

int Status(const ApiError& error) { return error.http_status; }

}  // namespace

const Dialect kDashScopeDialect = {"dashscope", ErrorJson, Status, "x-request-id", NewUuid};

}  // namespace quern::api
