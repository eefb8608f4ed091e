#include <fmt/core.h>

#include "base/os/cpu.h"
#include "cli/commands.h"

namespace quern::cli {

Result<int> RunVersion(const Invocation&) {
  fmt::print("quern {}\n{} ({})\n", QUERN_VERSION, os::CpuName(), os::Describe(os::Cpu()));
  return kExitDone;
}

}  // namespace quern::cli
