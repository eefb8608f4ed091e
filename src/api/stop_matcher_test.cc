#include "api/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace quern::api {
namespace {

// What the matcher must do, written the slow way: the stop whose end comes first ends the text; of those that end
// there, the longest.
std::string Cut(const std::string& text, const std::vector<std::string>& stops, std::string* matched) {
  for (size_t end = 1; end <= text.size(); ++end) {
    const std::string* longest = nullptr;
    for (const std::string& stop : stops) {
      if (stop.size() > end || text.compare(end - stop.size(), stop.size(), stop) != 0) continue;
      if (longest == nullptr || stop.size() > longest->size()) longest = &stop;
    }
    if (longest == nullptr) continue;
    *matched = *longest;
    return text.substr(0, end - longest->size());
  }
  matched->clear();
  return text;
}

// Feeds the pieces between the set bits of cuts; checks that nothing that belongs to the stop was let out.
void Check(const std::string& text, const std::vector<std::string>& stops, uint64_t cuts) {
  std::string stop;
  const std::string expected = Cut(text, stops, &stop);
  StopMatcher matcher(stops);
  std::string out;
  size_t from = 0;
  for (size_t i = 1; i <= text.size(); ++i) {
    if (i < text.size() && (cuts >> (i - 1) & 1) == 0) continue;
    out += matcher.Feed(std::string_view(text).substr(from, i - from));
    from = i;
    ASSERT_LE(out.size(), expected.size()) << text << " cuts " << cuts;
  }
  out += matcher.Flush();
  EXPECT_EQ(out, expected) << text << " cuts " << cuts;
  EXPECT_EQ(matcher.matched(), !stop.empty()) << text << " cuts " << cuts;
  EXPECT_EQ(matcher.matched_stop(), stop) << text << " cuts " << cuts;
}

TEST(StopMatcher, EverySplitOfShortTexts) {
  const std::vector<std::vector<std::string>> stop_sets = {
      {}, {"ab"}, {"aab", "ab"}, {"aaab", "b"}, {"abab", "ba"}, {"\n\n", "\n# Explanation:"}, {"你好", "\xE4"}};
  const std::vector<std::string> texts = {"xaabx", "aaaab",  "ababab", "aaaaaa", "x\n\n",
                                          "\n# E", "a你好b", "abaabb", ""};
  for (const auto& stops : stop_sets) {
    for (const std::string& text : texts) {
      const uint64_t n_splits = text.empty() ? 1 : uint64_t{1} << (text.size() - 1);
      for (uint64_t cuts = 0; cuts < n_splits; ++cuts) Check(text, stops, cuts);
    }
  }
}

TEST(StopMatcher, RandomTextsAndStops) {
  std::mt19937_64 rng(7);
  const auto random_text = [&](size_t n) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += static_cast<char>('a' + rng() % 3);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = 0; i < 1 + rng() % 4; ++i) stops.push_back(random_text(1 + rng() % 6));
    Check(random_text(rng() % 40), stops, rng());
  }
}

TEST(StopMatcher, LetsTextOutAsSoonAsItCannotBecomeAStop) {
  StopMatcher matcher({"</done>"});
  EXPECT_EQ(matcher.Feed("abc</d"), "abc");
  EXPECT_EQ(matcher.Feed("x"), "</dx");
  EXPECT_EQ(matcher.Feed("</"), "");
  EXPECT_EQ(matcher.Feed("</done>rest"), "</");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.Feed("more"), "") << "nothing comes after a stop";
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcher, GoesOnAfterAFlush) {
  StopMatcher matcher({"ab"});
  EXPECT_EQ(matcher.Feed("xa"), "x");
  EXPECT_EQ(matcher.Flush(), "a");
  EXPECT_EQ(matcher.Feed("b"), "b") << "a stop does not reach across a flush";
  EXPECT_FALSE(matcher.matched());
}

}  // namespace
}  // namespace quern::api
