#include "upstream/sse_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace quern::upstream {

Result<void> SseParser::Feed(std::string_view bytes, std::vector<std::string>& events) {
  while (!bytes.empty() && !failed_) {
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') bytes.remove_prefix(1);
    if (bytes.empty()) break;
    const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    failed_ = line_.size() + data_.size() + end > max_event_bytes_;
    if (failed_) break;
    line_ += bytes.substr(0, end);
    bytes.remove_prefix(end);
    if (bytes.empty()) break;
    after_cr_ = bytes.front() == '\r';
    bytes.remove_prefix(1);
    EndLine(events);
  }
  if (!failed_) return {};
  return Error(Code::kExhausted, fmt::format("an event of the stream is longer than {} bytes", max_event_bytes_));
}

void SseParser::EndLine(std::vector<std::string>& events) {
  std::string line;
  line.swap(line_);
  std::string_view text = line;
  if (first_line_ && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  first_line_ = false;
  if (text.empty()) {
    if (has_data_) events.push_back(std::move(data_));
    data_.clear();
    has_data_ = false;
    return;
  }
  const size_t colon = std::min(text.find(':'), text.size());
  if (text.substr(0, colon) != "data") return;
  std::string_view value = text.substr(std::min(colon + 1, text.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
  return;
}

}  // namespace quern::upstream
