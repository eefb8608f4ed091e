// One line of a batch's input file: a request that somebody wrote down for later. api.md G.7.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "api/errors.h"
#include "api/limits.h"

namespace quern::api {

// Why a batch's input was not taken, as the batch object lists it.
struct BatchError {
  std::string code;
  std::string message;
  std::string param;  // empty = null
  int64_t line = 0;   // from 1; 0 = the whole file
};

struct BatchLine {
  std::string custom_id;  // 1 to kMaxCustomIdBytes bytes
  std::string model;      // of the body
  std::string body;       // JSON text of an object
};

inline constexpr size_t kMaxCustomIdBytes = 512;

// text: without its line end. endpoint: what the batch was made for, as the line's url must repeat it. line_number goes
// into the error.
std::expected<BatchLine, BatchError> ReadBatchLine(std::string_view text, std::string_view endpoint,
                                                   int64_t line_number, const Limits& limits);

}  // namespace quern::api
