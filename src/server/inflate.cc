#include "server/inflate.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <memory>

namespace quern::server {

namespace {

constexpr size_t kStep = 64 * 1024;

// window_bits as zlib wants them: 15 + 16 gzip, 15 zlib, -15 raw deflate.
Result<std::string> Inflate(std::string_view data, int window_bits, size_t max_bytes) {
  z_stream z{};
  if (inflateInit2(&z, window_bits) != Z_OK) return Error(Code::kInternal, "zlib could not start");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> closer(&z, inflateEnd);
  std::string out;
  size_t n_in = 0;
  int code = Z_OK;
  while (code != Z_STREAM_END) {
    if (z.avail_in == 0) {
      const size_t n = std::min<size_t>(data.size() - n_in, 1U << 30);
      if (n == 0) return Error(Code::kCorrupt, "the compressed body ends too early");
      z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data() + n_in));
      z.avail_in = static_cast<uInt>(n);
      n_in += n;
    }
    const size_t at = out.size();
    out.resize(at + kStep);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + at);
    z.avail_out = kStep;
    code = inflate(&z, Z_NO_FLUSH);
    out.resize(at + kStep - z.avail_out);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
      return Error(Code::kCorrupt, fmt::format("the compressed body cannot be read: {}", z.msg ? z.msg : "bad data"));
    }
    if (out.size() > max_bytes) {
      return Error(
          Code::kExhausted,
          fmt::format("the body is larger than {} bytes when decompressed (limit max_inflated_bytes)", max_bytes));
    }
  }
  return out;
}

}  // namespace

Result<std::string> DecodeBody(std::string body, std::string_view coding, size_t max_bytes) {
  if (coding.empty() || coding == "identity") return body;
  if (coding == "gzip" || coding == "x-gzip") return Inflate(body, 15 + 16, max_bytes);
  if (coding == "deflate") {
    // Written as zlib by the standard and as raw deflate by some clients.
    const bool zlib = body.size() >= 2 && (static_cast<unsigned char>(body[0]) & 0x0F) == 8 &&
                      (static_cast<unsigned char>(body[0]) * 256 + static_cast<unsigned char>(body[1])) % 31 == 0;
    return Inflate(body, zlib ? 15 : -15, max_bytes);
  }
  return Error(Code::kUnsupported,
               fmt::format("content-encoding '{}' is not supported, only gzip and deflate are", coding.substr(0, 40)));
}

}  // namespace quern::server
