#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>

#include "cli/commands.h"

namespace quern::cli {

Result<std::string> ReadStandardInput(size_t max_bytes) {
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t n = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error(Code::kUnavailable, "standard input cannot be read");
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > max_bytes)
      return Error(Code::kExhausted, fmt::format("standard input holds more than {} bytes", max_bytes));
  }
}

}  // namespace quern::cli
