// Errors of Anthropic Messages. api.md E.6, E.7.
#include <fmt/format.h>

#include <algorithm>

#include "api/dialect.h"
#include "api/ids.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

// Theirs for "too busy, try again" is 529, and 504 for time that ran out.
int AnthropicStatus(const ApiError& error) {
  if (error.http_status != 503) return error.http_status;
  return error.code == "time_limit_exceeded" ? 504 : 529;
}

std::string_view AnthropicType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 402:
      return "billing_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 409:
      return "conflict_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    case 529:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

// Claude Code knows a prompt that is too long by these words, and reads both numbers.
std::string Message(const ApiError& error) {
  if (error.code != "context_length_exceeded") return error.message;
  const auto number = [&](std::string_view name) {
    const auto found =
        std::find_if(error.numbers.begin(), error.numbers.end(), [&](const auto& n) { return n.first == name; });
    return found == error.numbers.end() ? int64_t{0} : found->second;
  };
  const int64_t n_prompt = number("n_prompt");
  return fmt::format("prompt is too long: {} tokens > {} maximum", n_prompt, n_prompt - number("n_over"));
}

std::string AnthropicErrorJson(const ApiError& error, std::string_view request_id) {
  JsonWriter json;
  json.BeginObject().Key("type").String("error");
  json.Key("error").BeginObject().Key("type").String(AnthropicType(AnthropicStatus(error)));
  json.Key("message").SanitizedString(Message(error)).EndObject();
  json.Key("request_id").String(request_id).EndObject();
  return json.Take();
}

std::string NewAnthropicRequestId() { return "req_" + NewHexId(); }

}  // namespace

const Dialect kAnthropicDialect = {"anthropic", AnthropicErrorJson, AnthropicStatus, "request-id",
                                   NewAnthropicRequestId};

}  // namespace quern::api
