// multipart/form-data (RFC 7578, RFC 2046 5.1), read piece by piece: bytes in, parts out, whatever way the bytes are
// cut.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "api/errors.h"

namespace quern::api {

struct MultipartPart {
  std::string name;                     // of the form's field
  std::optional<std::string> filename;  // as sent, also from filename*; bytes from outside
};

struct MultipartLimits {
  size_t max_parts = 32;
  size_t max_header_bytes = 8 * 1024;  // of one part
  size_t max_preamble_bytes = 4 * 1024;
};

// Owned by one request, used on its strand. After an error nothing more may be fed.
class MultipartParser {
 public:
  // Called in order begin, data (any number of times), end for every part; an error ends the parsing.
  struct Handler {
    std::function<ApiResult<void>(const MultipartPart& part)> begin;
    std::function<ApiResult<void>(std::string_view bytes)> data;
    std::function<ApiResult<void>()> end;
  };

  MultipartParser(std::string_view boundary, Handler handler, MultipartLimits limits = {});

  // The boundary of a content-type header. Errors: 400 (not multipart/form-data, no boundary or none of 1 to 70
  // characters).
  static ApiResult<std::string> BoundaryOf(std::string_view content_type);

  // Errors: 400 (malformed, a limit), and those of the handler.
  ApiResult<void> Feed(std::string_view bytes);
  // There are no more bytes. Errors: 400 (it does not end with its closing boundary).
  ApiResult<void> Finish();

 private:
  // kPreamble -> kDelimiter -> kHeaders -> kData -> kDelimiter ... -> kEpilogue
  enum class State { kPreamble, kDelimiter, kHeaders, kData, kEpilogue };

  // One step on what is buffered; false when it takes more bytes.
  ApiResult<bool> Step();
  ApiResult<bool> FindDelimiter();
  ApiResult<bool> ReadDelimiterEnd();
  ApiResult<bool> ReadHeaders();

  const std::string delimiter_;  // CRLF "--" boundary
  const Handler handler_;
  const MultipartLimits limits_;
  State state_ = State::kPreamble;
  std::string buffer_ = "\r\n";  // the first delimiter may stand at the very beginning
  size_t n_parts_ = 0;
  size_t n_preamble_ = 0;
};

}  // namespace quern::api
