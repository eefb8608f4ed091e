#include "tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"

namespace quern::tokenizer {
namespace {

using Strings = std::vector<std::string>;

Strings Pieces(std::string_view text) {
  Strings out;
  const Utf8ClassReader reader(text);
  for (size_t at = 0; at < text.size();) {
    const size_t end = PieceEnd(reader, at);
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST(PreTokenizer, CutsContractionsInAnyCase) {
  EXPECT_EQ(Pieces("it's WE'LL i'M"), (Strings{"it", "'s", " WE", "'LL", " i", "'M"}));
  EXPECT_EQ(Pieces("'re've'd't"), (Strings{"'re", "'ve", "'d", "'t"}));
  EXPECT_EQ(Pieces("'st"), (Strings{"'s", "t"}));
  EXPECT_EQ(Pieces("'\u017Ft"), (Strings{"'\u017F", "t"}));  // long s folds to s
  EXPECT_EQ(Pieces("'r 'v 'l 'x"), (Strings{"'r", " '", "v", " '", "l", " '", "x"}));
  EXPECT_EQ(Pieces("'"), (Strings{"'"}));
  EXPECT_EQ(Pieces("''s"), (Strings{"''", "s"}));
}

TEST(PreTokenizer, LetsOneOtherCharacterLeadAWord) {
  EXPECT_EQ(Pieces("a.b _c\td\nee"), (Strings{"a", ".b", " _", "c", "\td", "\n", "ee"}));
  EXPECT_EQ(Pieces("..ab"), (Strings{"..", "ab"}));
  EXPECT_EQ(Pieces("\u00A0w"), (Strings{"\u00A0w"}));
}

TEST(PreTokenizer, GivesEachNumberCharacterItsOwnPiece) {
  EXPECT_EQ(Pieces("12 3\u0664\u00BD"), (Strings{"1", "2", " ", "3", "\u0664", "\u00BD"}));
  EXPECT_EQ(Pieces(".1a"), (Strings{".", "1", "a"}));
}

TEST(PreTokenizer, KeepsNewlinesWithPunctuation) {
  EXPECT_EQ(Pieces("x;\r\n\n y"), (Strings{"x", ";\r\n\n", " y"}));
  EXPECT_EQ(Pieces(" ){\n"), (Strings{" ){\n"}));
  EXPECT_EQ(Pieces("\t)"), (Strings{"\t", ")"}));
}

TEST(PreTokenizer, LeavesTheLastBlankForTheWord) {
  EXPECT_EQ(Pieces("a   b"), (Strings{"a", "  ", " b"}));
  EXPECT_EQ(Pieces("a   1"), (Strings{"a", "  ", " ", "1"}));
  EXPECT_EQ(Pieces("a  .b"), (Strings{"a", " ", " .", "b"}));
  EXPECT_EQ(Pieces("a  "), (Strings{"a", "  "}));
  EXPECT_EQ(Pieces("a \t"), (Strings{"a", " \t"}));
  EXPECT_EQ(Pieces(" "), (Strings{" "}));
}

TEST(PreTokenizer, EndsBlanksAfterTheLastNewline) {
  EXPECT_EQ(Pieces("a \n  \n  b"), (Strings{"a", " \n  \n", " ", " b"}));
  EXPECT_EQ(Pieces("\n\n"), (Strings{"\n\n"}));
  EXPECT_EQ(Pieces("\n  "), (Strings{"\n", "  "}));
}

TEST(PreTokenizer, DoesNotCutMarksOffSymbols) {
  EXPECT_EQ(Pieces("a\u0301b"), (Strings{"a", "\u0301b"}));
  EXPECT_EQ(Pieces("\U0001F469\u200D\U0001F4BB"), (Strings{"\U0001F469\u200D\U0001F4BB"}));
}

// Counts how often a character is classified.
class CountingReader {
 public:
  explicit CountingReader(std::string_view text) : reader_(text) {}
  size_t size() const { return reader_.size(); }
  char Byte(size_t at) const { return reader_.Byte(at); }
  Utf8ClassReader::Char At(size_t at) const {
    ++n_reads;
    return reader_.At(at);
  }
  mutable size_t n_reads = 0;

 private:
  Utf8ClassReader reader_;
};

TEST(PreTokenizer, LooksAtEachCharacterABoundedNumberOfTimes) {
  for (const std::string_view unit :
       {"a", " ", "'", "\n", "1", ".", "\U0001F600", " \n", "\n ", " a", "  a", " .", "'r", "\t\t."}) {
    std::string text;
    while (text.size() < 100000) text += unit;
    const CountingReader reader(text);
    for (size_t at = 0; at < text.size();) at = PieceEnd(reader, at);
    EXPECT_LE(reader.n_reads, 5 * text.size()) << unit;
  }
}

TEST(PreTokenizer, PiecesJoinToTheText) {
  std::mt19937_64 rng(5);
  constexpr int32_t kPool[] = {'a', 'S',   '\'', ' ',   '\t',   '\n',    '\r', '7',
                               '.', 0x17F, 0xA0, 0x301, 0x4E2D, 0x1F600, 0x661};
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (size_t n = rng() % 30; n > 0; --n) AppendUtf8(text, kPool[rng() % std::size(kPool)]);
    std::string joined;
    for (const std::string& piece : Pieces(text)) {
      ASSERT_FALSE(piece.empty());
      ASSERT_TRUE(IsValidUtf8(piece));
      joined += piece;
    }
    EXPECT_EQ(joined, text);
  }
}

}  // namespace
}  // namespace quern::tokenizer
