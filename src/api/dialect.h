// What one protocol family does to every answer: the shape of its errors and the name of its request id. Which family
// an answer belongs to is decided by its route, never by headers (api.md 0.1).
#pragma once

#include <string>
#include <string_view>

#include "api/errors.h"

namespace quern::api {

// Constant objects, one per family.
struct Dialect {
  std::string_view name;
  // Body of an error response. request_id is empty in a stream of the OpenAI family.
  std::string (*error_json)(const ApiError& error, std::string_view request_id);
  // HTTP status of an error response; null = error.http_status.
  int (*error_status)(const ApiError& error);
  std::string_view request_id_header;
  std::string (*new_request_id)();
};

// {"error":{"message":...,"type":...,"param":...,"code":...},"request_id":...}; api.md A.8.
extern const Dialect kOpenAiDialect;

// {"code":...,"message":...,"request_id":...}; api.md D.6.
extern const Dialect kDashScopeDialect;

// {"error":{"code":400,"message":...,"type":...}}; api.md H.1.
extern const Dialect kLlamaCppDialect;

// {"error":"message"}; api.md H.3.
extern const Dialect kOllamaDialect;

// {"type":"error","error":{"type":...,"message":...},"request_id":...}; api.md E.7.
extern const Dialect kAnthropicDialect;

}  // namespace quern::api
