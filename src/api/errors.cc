#include "api/errors.h"

#include <algorithm>
#include <array>

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

}  // namespace quern::api
