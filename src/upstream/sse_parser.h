// Server-sent events as a client reads them: bytes in any split, the data of whole events out. What else an event says
// (its name, id, retry time) is of no use to us and passed over.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace quern::upstream {

// Not thread-safe. The sender is not trusted: no event takes more than max_event_bytes of memory.
class SseParser {
 public:
  explicit SseParser(size_t max_event_bytes) : max_event_bytes_(max_event_bytes) {}

  // Appends the data of every event that ended within bytes; lines of one event are joined by "\n". Events without data
  // give nothing. Errors: kExhausted (an event, or a line, is too long); every further call fails too.
  Result<void> Feed(std::string_view bytes, std::vector<std::string>& events);

 private:
  void EndLine(std::vector<std::string>& events);

  size_t max_event_bytes_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // the line feed of a "\r\n" is still to come
  bool first_line_ = true;
  bool failed_ = false;
};

}  // namespace quern::upstream
