// Errors of the API: one struct and one table from Status codes. A dialect (dialect.h) gives them their JSON shape.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace quern::api {

struct ApiError {
  int http_status = 400;
  std::string type = "invalid_request_error";
  std::string code;                                      // empty = null
  std::string message;                                   // never empty
  std::string param;                                     // field path such as messages[2].content; empty = null
  std::vector<std::pair<std::string, int64_t>> numbers;  // further members of the error object, e.g. n_prompt
  int retry_after_s = 0;                                 // > 0: retry-after headers are sent
  std::string allow;                                     // methods for a 405
};

template <typename T>
using ApiResult = std::expected<T, ApiError>;

// 400 about one field.
ApiError BadField(std::string param, std::string message, std::string code = {});

// What a Status from below looks like outside.
ApiError FromStatus(const Status& status);

inline std::unexpected<ApiError> Fail(ApiError error) { return std::unexpected<ApiError>(std::move(error)); }

}  // namespace quern::api

// As QUERN_TRY and QUERN_ASSIGN, for functions that return ApiResult.
#define QUERN_API_TRY(expr)                                                                \
  do {                                                                                     \
    if (auto quern_try_result = (expr); !quern_try_result.has_value()) {                   \
      return std::unexpected<::quern::api::ApiError>(std::move(quern_try_result).error()); \
    }                                                                                      \
  } while (false)

#define QUERN_API_ASSIGN(lhs, expr) QUERN_API_ASSIGN_INNER(QUERN_CONCAT(quern_result_, __LINE__), lhs, expr)
#define QUERN_API_ASSIGN_INNER(tmp, lhs, expr)                              \
  auto tmp = (expr);                                                        \
  if (!tmp.has_value()) {                                                   \
    return std::unexpected<::quern::api::ApiError>(std::move(tmp).error()); \
  }                                                                         \
  lhs = std::move(*tmp)
