// The programs behind `quern COMMAND`. Each returns the process's exit code and prints its own results; an error comes
// back to main(), which prints its one sentence.
#pragma once

#include "base/status.h"
#include "cli/command_line.h"

namespace quern::cli {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;

Result<int> RunServe(const Invocation& invocation);
Result<int> RunChat(const Invocation& invocation);
Result<int> RunComplete(const Invocation& invocation);
Result<int> RunInspect(const Invocation& invocation);
Result<int> RunTokenize(const Invocation& invocation);
Result<int> RunQuantize(const Invocation& invocation);
Result<int> RunPack(const Invocation& invocation);
Result<int> RunPlan(const Invocation& invocation);
Result<int> RunBenchCommand(const Invocation& invocation);
Result<int> RunImatrix(const Invocation& invocation);
Result<int> RunKl(const Invocation& invocation);
Result<int> RunVersion(const Invocation& invocation);

// All of standard input. Errors: kExhausted (more than the limit).
Result<std::string> ReadStandardInput(size_t max_bytes);

}  // namespace quern::cli
