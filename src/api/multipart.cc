#include "api/multipart.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/route.h"

namespace quern::api {

namespace {

constexpr size_t kMaxBlanks = 64;  // between a boundary and its line end

std::unexpected<ApiError> Malformed(std::string_view what) {
  return Fail(BadField("", fmt::format("We could not parse the multipart/form-data body of your request: {}.", what),
                       "invalid_multipart"));
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// `value; name=text; name="quoted \" text"`: the value of a header and its parameters.
class HeaderValue {
 public:
  explicit HeaderValue(std::string_view text) : rest_(text) {
    const size_t end = std::min(rest_.find(';'), rest_.size());
    value_ = Trimmed(rest_.substr(0, end));
    rest_.remove_prefix(end);
  }

  std::string_view value() const { return value_; }

  // The next parameter; false at the end.
  bool Next(std::string_view& name, std::string& value) {
    while (!rest_.empty() && (rest_.front() == ';' || rest_.front() == ' ' || rest_.front() == '\t')) {
      rest_.remove_prefix(1);
    }
    if (rest_.empty()) return false;
    const size_t equals = rest_.find_first_of("=;");
    name = Trimmed(rest_.substr(0, equals));
    value.clear();
    if (equals == std::string_view::npos || rest_[equals] == ';') {
      rest_.remove_prefix(std::min(equals, rest_.size()));
      return true;
    }
    rest_.remove_prefix(equals + 1);
    if (!rest_.empty() && rest_.front() == '"') {
      ReadQuoted(value);
    } else {
      const size_t end = std::min(rest_.find(';'), rest_.size());
      value = Trimmed(rest_.substr(0, end));
      rest_.remove_prefix(end);
    }
    return true;
  }

 private:
  void ReadQuoted(std::string& value) {
    size_t at = 1;
    for (; at < rest_.size() && rest_[at] != '"'; ++at) {
      // Browsers of old sent Windows paths with bare backslashes: only \" and \\ are escapes.
      if (rest_[at] == '\\' && at + 1 < rest_.size() && (rest_[at + 1] == '"' || rest_[at + 1] == '\\')) ++at;
      value += rest_[at];
    }
    rest_.remove_prefix(std::min(at + 1, rest_.size()));
  }

  std::string_view value_;
  std::string_view rest_;
};

// The part that a content-disposition header describes; nothing when it is no form field.
std::optional<MultipartPart> ReadDisposition(std::string_view text) {
  HeaderValue header(text);
  if (!EqualsIgnoringCase(header.value(), "form-data")) return std::nullopt;
  MultipartPart part;
  bool named = false;
  std::string_view key;
  std::string value;
  bool extended = false;
  while (header.Next(key, value)) {
    if (EqualsIgnoringCase(key, "name")) {
      part.name = value;
      named = true;
    } else if (EqualsIgnoringCase(key, "filename") && !extended) {
      part.filename = value;
    } else if (EqualsIgnoringCase(key, "filename*")) {
      // charset'language'percent-encoded (RFC 5987); the charset of today is UTF-8.
      const size_t quote = value.find('\'');
      const size_t second = quote == std::string::npos ? quote : value.find('\'', quote + 1);
      if (second == std::string::npos) continue;
      part.filename = PercentDecode(std::string_view(value).substr(second + 1));
      extended = true;
    }
  }
  if (!named) return std::nullopt;
  return part;
}

}  // namespace

MultipartParser::MultipartParser(std::string_view boundary, Handler handler, MultipartLimits limits)
    : delimiter_("\r\n--" + std::string(boundary)), handler_(std::move(handler)), limits_(limits) {}

ApiResult<std::string> MultipartParser::BoundaryOf(std::string_view content_type) {
  HeaderValue header(content_type);
  if (!EqualsIgnoringCase(header.value(), "multipart/form-data")) {
    return Fail(BadField("content-type", "Send the file as multipart/form-data.", "invalid_content_type"));
  }
  std::string_view key;
  std::string value;
  while (header.Next(key, value)) {
    if (!EqualsIgnoringCase(key, "boundary")) continue;
    if (value.empty() || value.size() > 70) return Malformed("its boundary must have 1 to 70 characters");
    return value;
  }
  return Malformed("the content-type header names no boundary");
}

ApiResult<void> MultipartParser::Feed(std::string_view bytes) {
  if (state_ == State::kEpilogue) return {};
  buffer_ += bytes;
  for (;;) {
    QUERN_API_ASSIGN(const bool moved, Step());
    if (!moved) return {};
  }
}

ApiResult<void> MultipartParser::Finish() {
  if (state_ == State::kEpilogue) return {};
  return Malformed("it ends before its closing boundary");
}

ApiResult<bool> MultipartParser::Step() {
  switch (state_) {
    case State::kPreamble:
    case State::kData:
      return FindDelimiter();
    case State::kDelimiter:
      return ReadDelimiterEnd();
    case State::kHeaders:
      return ReadHeaders();
    case State::kEpilogue:
      break;
  }
  buffer_.clear();
  return false;
}

ApiResult<bool> MultipartParser::FindDelimiter() {
  const size_t found = buffer_.find(delimiter_);
  // What may be the beginning of a delimiter stays.
  const size_t n_sure =
      found != std::string::npos ? found : buffer_.size() - std::min(buffer_.size(), delimiter_.size() - 1);
  if (state_ == State::kPreamble) {
    n_preamble_ += n_sure;
    if (n_preamble_ > limits_.max_preamble_bytes) return Malformed("its boundary does not begin it");
  } else if (n_sure > 0) {
    QUERN_API_TRY(handler_.data(std::string_view(buffer_).substr(0, n_sure)));
  }
  if (found == std::string::npos) {
    buffer_.erase(0, n_sure);
    return false;
  }
  buffer_.erase(0, found + delimiter_.size());
  if (state_ == State::kData) QUERN_API_TRY(handler_.end());
  state_ = State::kDelimiter;
  return true;
}

// Behind a delimiter: "--" ends it all, blanks and a line end begin a part.
ApiResult<bool> MultipartParser::ReadDelimiterEnd() {
  if (buffer_.size() < 2) return false;
  if (buffer_.starts_with("--")) {
    state_ = State::kEpilogue;
    return true;
  }
  const size_t n_blanks = std::min(buffer_.find_first_not_of(" \t"), buffer_.size());
  const std::string_view line_end = std::string_view(buffer_).substr(n_blanks, 2);
  if (n_blanks > kMaxBlanks || !std::string_view("\r\n").starts_with(line_end)) {
    return Malformed("a boundary is followed by something else than a line end");
  }
  if (line_end.size() < 2) return false;
  if (++n_parts_ > limits_.max_parts) {
    return Malformed(fmt::format("it has more than {} parts (limit max_parts)", limits_.max_parts));
  }
  buffer_.erase(0, n_blanks);  // the line end stays: one stands before every header line
  state_ = State::kHeaders;
  return true;
}

ApiResult<bool> MultipartParser::ReadHeaders() {
  const size_t end = buffer_.find("\r\n\r\n");
  if (std::min(end, buffer_.size()) > limits_.max_header_bytes) {
    return Malformed(fmt::format("a part's headers are longer than {} bytes", limits_.max_header_bytes));
  }
  if (end == std::string::npos) return false;
  std::optional<MultipartPart> part;
  std::string_view rest = std::string_view(buffer_).substr(0, end);
  while (!rest.empty()) {
    rest.remove_prefix(2);  // the line end before
    const size_t line_end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view line = rest.substr(0, line_end);
    rest.remove_prefix(line_end);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return Malformed("a part's header has no colon");
    if (!part && EqualsIgnoringCase(Trimmed(line.substr(0, colon)), "content-disposition")) {
      part = ReadDisposition(line.substr(colon + 1));
    }
  }
  if (!part) return Malformed("a part has no content-disposition 'form-data' with a name");
  buffer_.erase(0, end + 4);
  QUERN_API_TRY(handler_.begin(*part));
  state_ = State::kData;
  return true;
}

}  // namespace quern::api
