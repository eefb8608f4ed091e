#include "cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace quern::cli {
namespace {

constexpr int kCells = 30;
constexpr auto kQuiet = std::chrono::seconds(2);
constexpr auto kInterval = std::chrono::milliseconds(100);

}  // namespace

std::string ProgressText(const std::string& label, uint64_t done, uint64_t total) {
  const double share = total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto full = static_cast<size_t>(share * kCells);
  return fmt::format("{} [{}{}] {:3} %", label, std::string(full, '#'), std::string(kCells - full, '.'),
                     static_cast<int>(share * 100));
}

ProgressBar::ProgressBar(std::string_view label)
    : label_(label), on_terminal_(isatty(STDERR_FILENO) == 1), start_(Clock::now()), last_(start_) {}

ProgressBar::~ProgressBar() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
}

void ProgressBar::Show(uint64_t done, uint64_t total) {
  const auto now = Clock::now();
  if (!on_terminal_ || now - start_ < kQuiet || now - last_ < kInterval) return;
  last_ = now;
  shown_ = true;
  fmt::print(stderr, "\r\x1b[K{}", ProgressText(label_, done, total));
  std::fflush(stderr);
}

}  // namespace quern::cli
