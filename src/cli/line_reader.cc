#include "cli/line_reader.h"

#include <unistd.h>

#include <cerrno>

#include "cli/interrupt.h"

namespace quern::cli {

LineReader::Line LineReader::ReadLine() {
  bool too_long = false;
  for (;;) {
    const size_t newline = pending_.find('\n');
    if (newline != std::string::npos) {
      Line line{pending_.substr(0, newline), too_long ? End::kTooLong : End::kLine};
      pending_.erase(0, newline + 1);
      if (line.text.ends_with('\r')) line.text.pop_back();
      return line;
    }
    if (pending_.size() > max_bytes_) {
      too_long = true;
      pending_.clear();
    }
    WaitForInputOrInterrupt(fd_);
    if (TakeInterrupts() > 0) {
      pending_.clear();
      return {"", End::kInterrupt};
    }
    char buffer[4096];
    const ssize_t n = read(fd_, buffer, sizeof(buffer));
    if (n > 0) {
      pending_.append(buffer, static_cast<size_t>(n));
    } else if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
      continue;
    } else {
      Line line{std::move(pending_), End::kEnd};
      pending_.clear();
      return line;
    }
  }
}

LineReader::Line LineReader::ReadMessage() {
  Line message = ReadLine();
  while (message.end == End::kLine && message.text.ends_with('\\')) {
    Line more = ReadLine();
    if (more.end == End::kInterrupt || more.end == End::kTooLong) return more;
    message.text.back() = '\n';
    message.text += more.text;
    message.end = more.end;
    if (message.text.size() > max_bytes_) return {"", End::kTooLong};
  }
  return message;
}

}  // namespace quern::cli
