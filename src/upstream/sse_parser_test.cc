#include "upstream/sse_parser.h"

#include <gtest/gtest.h>

namespace quern::upstream {
namespace {

using Events = std::vector<std::string>;

constexpr size_t kRoomy = 1000;

Events Parse(std::string_view text) {
  SseParser parser(kRoomy);
  Events events;
  EXPECT_TRUE(parser.Feed(text, events).has_value());
  return events;
}

TEST(SseParser, GivesTheDataOfWholeEvents) {
  EXPECT_EQ(Parse("data: a\n\ndata:b\n\ndata:  c\n\n"), (Events{"a", "b", " c"}));
  EXPECT_EQ(Parse("data: cut"), Events{});
  EXPECT_EQ(Parse("data: cut\n"), Events{});
}

TEST(SseParser, PassesOverCommentsAndOtherFields) {
  EXPECT_EQ(Parse(": ping\n\nevent: x\nid: 1\ndata: a\nretry: 5\ndatax: no\n\n:\n\n"), Events{"a"});
  EXPECT_EQ(Parse("event: x\n\n"), Events{});
}

TEST(SseParser, JoinsTheLinesOfAnEvent) {
  EXPECT_EQ(Parse("data: a\ndata: b\ndata\n\n"), Events{"a\nb\n"});
  EXPECT_EQ(Parse("\xEF\xBB\xBF"
                  "data: a\n\n"),
            Events{"a"});
}

TEST(SseParser, ALineFeedAloneInItsPieceEndsOneLineOnly) {
  SseParser parser(kRoomy);
  Events events;
  for (const char* piece : {"data: a\r", "\n", "\n"}) ASSERT_TRUE(parser.Feed(piece, events).has_value());
  EXPECT_EQ(events, Events{"a"});
}

TEST(SseParser, AnySplitAndAnyLineEndGiveTheSame) {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const std::string text = "data: {\"a\": 1}" + end + end + ": c" + end + "data: x" + end + "data: y" + end + end;
    for (size_t first = 0; first <= text.size(); ++first) {
      for (size_t second = first; second <= text.size(); ++second) {
        SseParser parser(kRoomy);
        Events events;
        ASSERT_TRUE(parser.Feed(text.substr(0, first), events).has_value());
        ASSERT_TRUE(parser.Feed(text.substr(first, second - first), events).has_value());
        ASSERT_TRUE(parser.Feed(text.substr(second), events).has_value());
        ASSERT_EQ(events, (Events{"{\"a\": 1}", "x\ny"})) << first << " " << second;
      }
    }
  }
}

TEST(SseParser, StopsAtItsLimitForGood) {
  for (const std::string endless : {"data: 0123456789", "data: 01\n", ": 0123456789"}) {
    SseParser parser(64);
    Events events;
    Result<void> fed;
    for (int i = 0; i < 100 && fed; ++i) fed = parser.Feed(endless, events);
    ASSERT_FALSE(fed.has_value()) << endless;
    EXPECT_EQ(fed.error().code(), Code::kExhausted);
    EXPECT_FALSE(parser.Feed("\n\n", events).has_value());
    EXPECT_EQ(events, Events{});
  }
}

}  // namespace
}  // namespace quern::upstream
