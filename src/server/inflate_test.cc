#include "server/inflate.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace quern::server {
namespace {

std::string Deflate(const std::string& text, int window_bits) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, text.size()) + 32, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

constexpr int kGzip = 15 + 16;
constexpr int kZlib = 15;
constexpr int kRaw = -15;

TEST(DecodeBody, EveryCodingGivesTheTextBack) {
  const std::string text = std::string(300'000, 'q') + "\xC3\xA9 end";
  EXPECT_EQ(DecodeBody(text, "", 10).value(), text);
  EXPECT_EQ(DecodeBody(text, "identity", 10).value(), text);
  EXPECT_EQ(DecodeBody(Deflate(text, kGzip), "gzip", 1 << 20).value(), text);
  EXPECT_EQ(DecodeBody(Deflate(text, kGzip), "x-gzip", 1 << 20).value(), text);
  EXPECT_EQ(DecodeBody(Deflate(text, kZlib), "deflate", 1 << 20).value(), text);
  EXPECT_EQ(DecodeBody(Deflate(text, kRaw), "deflate", 1 << 20).value(), text);
  EXPECT_EQ(DecodeBody(Deflate("", kGzip), "gzip", 1).value(), "");
}

TEST(DecodeBody, EveryTruncationIsRefused) {
  const std::string whole = Deflate("a body that is long enough to be cut anywhere", kGzip);
  for (size_t n = 0; n < whole.size(); ++n) {
    const Result<std::string> decoded = DecodeBody(whole.substr(0, n), "gzip", 1 << 20);
    ASSERT_FALSE(decoded.has_value()) << n;
    EXPECT_EQ(decoded.error().code(), Code::kCorrupt) << n;
  }
}

TEST(DecodeBody, ABombStopsAtTheCap) {
  const Result<std::string> decoded = DecodeBody(Deflate(std::string(50'000'000, ' '), kGzip), "gzip", 1'000'000);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error().code(), Code::kExhausted);
  EXPECT_NE(decoded.error().message().find("max_inflated_bytes"), std::string::npos);
}

TEST(DecodeBody, UnknownCodingsAreNamed) {
  const Result<std::string> decoded = DecodeBody("x", "br", 100);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error().code(), Code::kUnsupported);
  EXPECT_NE(decoded.error().message().find("'br'"), std::string::npos);
}

}  // namespace
}  // namespace quern::server
