// A line on the terminal that says how far something long has come.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace quern::cli {

// Shows nothing unless standard error is a terminal, and nothing in the first two seconds. One thread at a time.
class ProgressBar {
 public:
  explicit ProgressBar(std::string_view label);
  ~ProgressBar();  // wipes the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Show(uint64_t done, uint64_t total);

 private:
  using Clock = std::chrono::steady_clock;
  const std::string label_;
  const bool on_terminal_;
  const Clock::time_point start_;
  Clock::time_point last_;
  bool shown_ = false;
};

// The text of the line: "loading x [#####.....] 50 %".
std::string ProgressText(const std::string& label, uint64_t done, uint64_t total);

}  // namespace quern::cli
