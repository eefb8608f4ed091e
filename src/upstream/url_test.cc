#include "upstream/url.h"

#include <gtest/gtest.h>

namespace quern::upstream {
namespace {

TEST(Url, ReadsSchemeHostPortAndPath) {
  EXPECT_EQ(ParseUrl("http://host:8000/v1").value(), (Url{false, "host", 8000, "/v1"}));
  EXPECT_EQ(ParseUrl("https://a.example/x/v1//").value(), (Url{true, "a.example", 443, "/x/v1"}));
  EXPECT_EQ(ParseUrl("http://[::1]:81").value(), (Url{false, "::1", 81, ""}));
}

TEST(Url, WritesWhatItRead) {
  for (const char* text : {"http://host:8000/v1", "https://a.example/v1", "http://[::1]:81", "http://127.0.0.1"}) {
    EXPECT_EQ(ParseUrl(text).value().Text(), text);
  }
}

TEST(Url, RefusesWhatCannotBeABaseAddress) {
  for (const char* text :
       {"", "host:80", "ftp://host", "http://", "http://:80/v1", "http://host:0", "http://host:70000", "http://host:8x",
        "http://host/?a=b", "http://host/#x", "http://a b/", "http://[::1", "http://[::1]x", "http://host\r\nx: y/"}) {
    EXPECT_FALSE(ParseUrl(text).has_value()) << text;
  }
}

TEST(Url, DoesNotRepeatAPasswordInItsError) {
  const auto url = ParseUrl("https://user:secret@host/v1");
  ASSERT_FALSE(url.has_value());
  EXPECT_EQ(url.error().message().find("secret"), std::string::npos);
}

}  // namespace
}  // namespace quern::upstream
