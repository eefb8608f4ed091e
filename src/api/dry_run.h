// A batch without a model: a fixed answer to every conversation, to try out files, batches and what reads them. The
// name, the endpoint and the sizes are Model Studio's. api.md G.7.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/route.h"

namespace quern::api {

inline constexpr std::string_view kDryRunModel = "batch-test-model";
inline constexpr std::string_view kDryRunEndpoint = "/v1/chat/ds-test";
inline constexpr size_t kMaxDryRunLines = 100;           // of one file
inline constexpr uint64_t kMaxDryRunBytes = 1ULL << 20;  // of one file

// A chat completion of no tokens, at once. Errors: 400 (no conversation, "stream": true), 404 (another model).
void AnswerDryRun(const Call& call);

}  // namespace quern::api
