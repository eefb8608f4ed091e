#include "base/utf8.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(Utf8, EncodesAndDecodesEveryScalarValue) {
  for (int32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(text, c);
    const Utf8Char got = DecodeUtf8(text, 0);
    ASSERT_EQ(got.code_point, c);
    ASSERT_EQ(static_cast<size_t>(got.length), text.size());
  }
}

TEST(Utf8, RefusesOverlongSurrogatesAndTooLarge) {
  for (const std::string_view bad : {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\x80"}) {
    EXPECT_EQ(DecodeUtf8(bad, 0).code_point, -1) << bad.size();
    EXPECT_FALSE(IsValidUtf8(bad));
  }
}

TEST(Utf8, SeesACharacterCutShort) {
  const std::string emoji = "\xF0\x9F\x98\x80";
  for (size_t n = 1; n < emoji.size(); ++n) EXPECT_EQ(IncompleteUtf8Suffix("a" + emoji.substr(0, n)), n);
  EXPECT_EQ(IncompleteUtf8Suffix("a" + emoji), 0U);
  EXPECT_EQ(IncompleteUtf8Suffix("a\x80"), 0U);
  EXPECT_EQ(IncompleteUtf8Suffix("\xED\xA0"), 0U);  // can only become a surrogate
}

TEST(Utf8, ReplacesOncePerMaximalSubpart) {
  EXPECT_EQ(ReplaceInvalidUtf8("a\xF0\x9F\x98z"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(ReplaceInvalidUtf8("ok\xC3\xA9"), "ok\xC3\xA9");
}

}  // namespace
}  // namespace quern
