// Lines from a terminal or a pipe, with Ctrl-C as an event of its own.
#pragma once

#include <cstddef>
#include <string>

namespace quern::cli {

// One thread. Does not own the descriptor.
class LineReader {
 public:
  enum class End { kLine, kEnd, kInterrupt, kTooLong };
  struct Line {
    std::string text;  // without its line end
    End end;           // kEnd: nothing follows; text may still hold a last line without a line end
  };

  LineReader(int fd, size_t max_bytes) : fd_(fd), max_bytes_(max_bytes) {}

  // One line; when it ends in a backslash, that becomes a line break and the next line joins. Ctrl-C (see interrupt.h)
  // drops what was typed. A line beyond max_bytes is read to its end and dropped.
  Line ReadMessage();

 private:
  Line ReadLine();

  const int fd_;
  const size_t max_bytes_;
  std::string pending_;  // read but not yet given out
};

}  // namespace quern::cli
