#include "cli/file_position.h"

#include <gtest/gtest.h>

namespace quern::cli {
namespace {

TEST(FilePosition, TakesTheNumbersFromTheEnd) {
  const auto line = ParseFilePosition("a.py:12");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->file, "a.py");
  EXPECT_EQ(line->line, 12U);
  EXPECT_FALSE(line->column);
  const auto column = ParseFilePosition("dir:1/a.py:12:3");
  ASSERT_TRUE(column);
  EXPECT_EQ(column->file, "dir:1/a.py");
  EXPECT_EQ(column->line, 12U);
  EXPECT_EQ(column->column, 3U);
  for (const char* bad :
       {"", "a.py", ":", ":1", ":1:2", "a.py:", "a.py:x", "a.py:0", "a.py:1:0", "a.py:-1", "a.py:99999999999999999999"})
    EXPECT_FALSE(ParseFilePosition(bad)) << bad;
}

size_t Offset(std::string_view text, const char* place) {
  const auto offset = OffsetOf(text, ParseFilePosition(place).value());
  EXPECT_TRUE(offset) << (offset ? "" : offset.error().message());
  return offset.value_or(999999);
}

TEST(FilePosition, FindsTheByte) {
  const std::string_view text = "ab\nc\xC3\xA9\xF0\x9F\x99\x82z\r\n\nlast";
  EXPECT_EQ(Offset(text, "f:1"), 2U);
  EXPECT_EQ(Offset(text, "f:1:1"), 0U);
  EXPECT_EQ(Offset(text, "f:1:3"), 2U);
  EXPECT_EQ(Offset(text, "f:2:2"), 4U);
  EXPECT_EQ(Offset(text, "f:2:3"), 6U) << "columns count characters";
  EXPECT_EQ(Offset(text, "f:2:4"), 10U);
  EXPECT_EQ(Offset(text, "f:2"), 11U) << "before the \\r";
  EXPECT_EQ(Offset(text, "f:3"), 13U);
  EXPECT_EQ(Offset(text, "f:4"), text.size());
  EXPECT_EQ(Offset("", "f:1"), 0U);
  EXPECT_EQ(Offset("a\n", "f:2:1"), 2U) << "the empty line after the last line end";
}

TEST(FilePosition, SaysHowMuchThereIs) {
  const auto past_line = OffsetOf("a\nb", ParseFilePosition("f:3").value());
  ASSERT_FALSE(past_line);
  EXPECT_EQ(past_line.error().message(), "f has 2 lines, there is no line 3");
  const auto past_column = OffsetOf("a\nbcd", ParseFilePosition("f:2:9").value());
  ASSERT_FALSE(past_column);
  EXPECT_EQ(past_column.error().message(), "line 2 of f has 3 characters, the last column is 4, not 9");
}

}  // namespace
}  // namespace quern::cli
