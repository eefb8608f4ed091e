#include "tokenizer/nfc.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/utf8.h"
#include "tokenizer/unicode_classes.h"

namespace quern::tokenizer {
namespace {

std::string Nfc(std::string_view text) {
  std::string storage;
  return std::string(ToNfc(text, storage));
}

// The library's own normalisation of the whole text, in one go.
std::string WholeNfc(const std::string& text) {
  utf8proc_uint8_t* out = nullptr;
  const auto n =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  EXPECT_GE(n, 0);
  std::string result(reinterpret_cast<const char*>(out), static_cast<size_t>(n));
  std::free(out);
  return result;
}

TEST(Nfc, ReturnsCleanTextItself) {
  for (const std::string_view text : {"", "plain ASCII, longer than a word of eight", "\u00E9\u4E2D\U0001F600\uAC00"}) {
    std::string storage = "untouched";
    EXPECT_EQ(ToNfc(text, storage).data(), text.data());
    EXPECT_EQ(storage, "untouched");
  }
}

TEST(Nfc, ComposesReordersAndDecomposes) {
  EXPECT_EQ(Nfc("xe\u0301y"), "x\u00E9y");
  EXPECT_EQ(Nfc("a\u0301\u0327"), "\u00E1\u0327");  // the cedilla moves before the acute, which composes
  EXPECT_EQ(Nfc("\u212B\u2126"), "\u00C5\u03A9");   // singletons
  EXPECT_EQ(Nfc("\u1112\u1161\u11AB\uAC00\u11A8"), "\uD55C\uAC01");  // Hangul
  EXPECT_EQ(Nfc("\u0958"), "\u0915\u093C");                          // excluded from composition
  EXPECT_EQ(Nfc("\u0301a"), "\u0301a");
  EXPECT_EQ(Nfc("0123456789e\u0301"), "0123456789\u00E9");
}

TEST(Nfc, ReplacesInvalidBytes) {
  EXPECT_EQ(Nfc("a\xFFz"), "a\uFFFDz");
  EXPECT_EQ(Nfc("e\u0301\xF0\x9F"), "\u00E9\uFFFD");
}

TEST(Nfc, LeavesCharactersOfNewerUnicodeAlone) {
  EXPECT_EQ(Nfc("a\u0345\u0898"), "a\u0345\u0898");  // a mark since Unicode 14
  EXPECT_EQ(Nfc("\u0898\u0334"), "\u0898\u0334");
  EXPECT_EQ(Nfc("\U00011935\U00011930"), "\U00011935\U00011930");  // composes since Unicode 13
}

TEST(Nfc, EqualsNormalizingTheWholeTextAtOnce) {
  std::mt19937_64 rng(7);
  constexpr int32_t kBases[] = {'a',   'e',    ' ',    0xE9,    0x1E69, 0x1112, 0x1161, 0x11AB, 0xAC00, 0x9C7,
                                0x9BE, 0x4E2D, 0x2126, 0x1F600, 0xDD9,  0xDCF,  0xDCA,  0x3B9,  0x345};
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (size_t n = rng() % 20; n > 0; --n) {
      int32_t c = kBases[rng() % std::size(kBases)];
      if (rng() % 2 == 0) c = static_cast<int32_t>(0x300 + rng() % 0x70);
      if (rng() % 8 == 0) c = static_cast<int32_t>(rng() % 0xD800);
      if (c == 0 || (UnicodeFlags(c) & kInert) != 0) continue;
      AppendUtf8(text, c);
    }
    EXPECT_EQ(Nfc(text), WholeNfc(text)) << text;
  }
}

// Marks in falling order, each one moving past all before it, are the worst case of ordering by swaps.
TEST(Nfc, OrdersALongRunOfMarks) {
  constexpr size_t kMarks = 400000;
  std::string text = "q";
  for (size_t i = 0; i < kMarks / 2; ++i) text += "\u0345";
  for (size_t i = 0; i < kMarks / 2; ++i) text += "\u0334";
  const auto start = std::chrono::steady_clock::now();
  const std::string out = Nfc(text);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%zu marks in %.3f s\n", kMarks, seconds.count());
  ASSERT_EQ(out.size(), text.size());
  EXPECT_EQ(out.substr(0, 3), "q\u0334");
  EXPECT_EQ(out.substr(out.size() - 2), "\u0345");
}

}  // namespace
}  // namespace quern::tokenizer
