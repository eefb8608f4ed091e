#include "grammar/token_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "grammar/test_walk.h"

namespace quern::grammar {
namespace {

TEST(TokenIndex, FindsWhatALoopFinds) {
  const auto tokenizer = DemoTokenizer();
  const TokenIndex index(tokenizer);
  EXPECT_GT(index.ids().size(), 256U);
  EXPECT_TRUE(
      std::none_of(index.ids().begin(), index.ids().end(), [&](int32_t id) { return IsControlToken(*tokenizer, id); }));
  for (const std::string prefix : {"a", "</", ">\n", "\n", "return", "\xff", "no token begins so"}) {
    std::vector<int32_t> begin;
    std::vector<int32_t> equal;
    for (const int32_t id : index.ids()) {
      if (index.BytesOf(id).starts_with(prefix)) begin.push_back(id);
      if (index.BytesOf(id) == prefix) equal.push_back(id);
    }
    const auto found = index.WithPrefix(prefix);
    EXPECT_TRUE(std::equal(found.begin(), found.end(), begin.begin(), begin.end())) << prefix;
    const auto same = index.Equal(prefix);
    EXPECT_TRUE(std::equal(same.begin(), same.end(), equal.begin(), equal.end())) << prefix;
    EXPECT_TRUE(std::equal(same.begin(), same.end(), found.begin())) << prefix;
  }
}

TEST(TokenIndex, KnowsTheTokenOfEachByte) {
  const TokenIndex index(DemoTokenizer());
  for (int byte = 0; byte < 256; ++byte) {
    const char one = static_cast<char>(byte);
    ASSERT_GE(index.OfByte(one), 0) << byte;
    EXPECT_EQ(index.BytesOf(index.OfByte(one)), std::string(1, one));
  }
}

}  // namespace
}  // namespace quern::grammar
