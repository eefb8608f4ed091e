// Paths of the OpenAI family -> operations. Pure functions on strings.
#pragma once

#include <string>
#include <string_view>

#include "api/exchange.h"

namespace quern::api {

enum class Operation {
  kNone,  // unknown path
  kChat,
  kCompletions,
  kFim,
  kListModels,
  kGetModel,
  kHealth,
  kMetrics,
  kRoot,
};

struct RouteMatch {
  Operation operation = Operation::kNone;
  RoutePrefix prefix = RoutePrefix::kV1;
  std::string model_id;     // kGetModel, percent-decoded
  bool doubled_v1 = false;  // /v1/v1/...: a base URL with a surplus /v1
};

// One trailing slash is ignored.
RouteMatch MatchRoute(std::string_view path);

// Label for metrics and methods for "allow".
std::string_view OperationName(Operation operation);
std::string_view AllowedMethods(Operation operation);

// %XX decoded; what is no valid escape stays as it is.
std::string PercentDecode(std::string_view text);

}  // namespace quern::api
