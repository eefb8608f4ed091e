#include <fmt/core.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace {

using quern::cli::Command;

quern::Result<int> Run(const quern::cli::Invocation& invocation) {
  switch (invocation.command) {
    case Command::kServe:
      return quern::cli::RunServe(invocation);
    case Command::kChat:
      return quern::cli::RunChat(invocation);
    case Command::kComplete:
      return quern::cli::RunComplete(invocation);
    case Command::kInspect:
      return quern::cli::RunInspect(invocation);
    case Command::kTokenize:
      return quern::cli::RunTokenize(invocation);
    case Command::kQuantize:
      return quern::cli::RunQuantize(invocation);
    case Command::kPack:
      return quern::cli::RunPack(invocation);
    case Command::kPlan:
      return quern::cli::RunPlan(invocation);
    case Command::kBench:
      return quern::cli::RunBenchCommand(invocation);
    case Command::kImatrix:
      return quern::cli::RunImatrix(invocation);
    case Command::kKl:
      return quern::cli::RunKl(invocation);
    case Command::kVersion:
      return quern::cli::RunVersion(invocation);
    case Command::kNone:
      break;
  }
  return quern::Error(quern::Code::kInternal, "no command");
}

int Fail(const std::string& message, int exit_code) {
  fmt::print(stderr, "quern: {}\n", message);
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto invocation = quern::cli::ParseCommandLine(std::vector<std::string>(argv + 1, argv + argc));
    if (!invocation) return Fail(invocation.error().message(), quern::cli::kExitUsage);
    if (!invocation->help.empty()) {
      fmt::print("{}", invocation->help);
      return quern::cli::kExitDone;
    }
    const auto exit_code = Run(*invocation);
    return exit_code ? *exit_code : Fail(exit_code.error().message(), quern::cli::kExitFailed);
  } catch (const std::exception& e) {
    return Fail(e.what(), quern::cli::kExitFailed);
  }
}
