// A batch's whole input file, checked before its first line is computed. api.md G.7.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "api/batch_line.h"
#include "api/batch_store.h"
#include "api/file_store.h"
#include "api/limits.h"

namespace quern::api {

struct BatchPlan {
  std::string model;  // of all lines
  std::vector<BatchLinePlace> lines;
};

// Reads the file line by line; blank lines are passed over. Errors: every line that cannot be taken, up to
// kMaxBatchErrors of them.
inline constexpr size_t kMaxBatchErrors = 100;
std::expected<BatchPlan, std::vector<BatchError>> PlanBatch(const FileContent& content, std::string_view endpoint,
                                                            const Limits& limits);

}  // namespace quern::api
