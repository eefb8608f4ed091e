#include "upstream/chooser.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace quern::upstream {
namespace {

std::vector<engine::TokenId> Prompt(int conversation, int n_tokens) {
  std::vector<engine::TokenId> prompt;
  for (int i = 0; i < n_tokens; ++i) prompt.push_back(conversation * 100'000 + i);
  return prompt;
}

std::vector<Candidate> Usable(size_t n) { return std::vector<Candidate>(n, Candidate{.usable = true}); }

TEST(PrefixKeys, ALongerPromptBeginsWithTheKeysOfAShorterOne) {
  const auto all = PrefixKeys(Prompt(1, 20'000));
  for (const int n : {0, 63, 64, 1000, 1024, 5000, 8192, 19'999}) {
    const auto some = PrefixKeys(Prompt(1, n));
    ASSERT_LE(some.size(), all.size());
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << n;
  }
  EXPECT_EQ(PrefixKeys(Prompt(1, 63)).size(), 0U);
  EXPECT_EQ(PrefixKeys(Prompt(1, 64)).size(), 1U);
  EXPECT_LT(all.size(), 60U);
  EXPECT_NE(PrefixKeys(Prompt(2, 64)), PrefixKeys(Prompt(1, 64)));
}

TEST(Chooser, EveryTurnOfAConversationGoesToItsEndpoint) {
  Chooser chooser;
  const auto candidates = Usable(4);
  std::vector<size_t> first;
  for (int c = 0; c < 8; ++c) first.push_back(*chooser.Pick(PrefixKeys(Prompt(c, 500)), candidates));
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(std::ranges::count(first, i), 2) << "new ones are spread";
  for (int turn = 1; turn < 20; ++turn) {
    for (int c = 0; c < 8; ++c) {
      EXPECT_EQ(chooser.Pick(PrefixKeys(Prompt(c, 500 + 300 * turn)), candidates), first[static_cast<size_t>(c)]);
    }
  }
}

TEST(Chooser, AnUnusableEndpointIsPassedOverAndFoundAgain) {
  Chooser chooser;
  auto candidates = Usable(3);
  const size_t home = *chooser.Pick(PrefixKeys(Prompt(1, 2000)), candidates);
  candidates[home].usable = false;
  const auto other = chooser.Pick(PrefixKeys(Prompt(1, 2600)), candidates);
  ASSERT_TRUE(other.has_value());
  EXPECT_NE(*other, home);
  candidates[home].usable = true;
  // The other one has read more of the conversation by now.
  EXPECT_EQ(chooser.Pick(PrefixKeys(Prompt(1, 3200)), candidates), other);
  for (auto& candidate : candidates) candidate.usable = false;
  EXPECT_EQ(chooser.Pick(PrefixKeys(Prompt(1, 3200)), candidates), std::nullopt);
}

TEST(Chooser, AKnownBeginningDoesNotOverloadItsEndpoint) {
  Chooser chooser;
  auto candidates = Usable(4);
  for (int i = 0; i < 400; ++i) ++candidates[*chooser.Pick(PrefixKeys(Prompt(1, 1000)), candidates)].n_running;
  for (const Candidate& candidate : candidates) EXPECT_LE(candidate.n_running, 130);
}

TEST(Chooser, WeightsAreSharesOfTheLoad) {
  Chooser chooser;
  auto candidates = Usable(3);
  candidates[2].weight = 4;
  for (int i = 0; i < 600; ++i) ++candidates[*chooser.Pick(PrefixKeys(Prompt(i, 100)), candidates)].n_running;
  EXPECT_NEAR(candidates[0].n_running, 100, 2);
  EXPECT_NEAR(candidates[1].n_running, 100, 2);
  EXPECT_NEAR(candidates[2].n_running, 400, 2);
}

TEST(Chooser, WeightsCountWhenNothingRuns) {
  Chooser chooser;
  auto candidates = Usable(2);
  candidates[1].weight = 2;
  int n_first = 0;
  for (int i = 0; i < 300; ++i) n_first += *chooser.Pick(PrefixKeys(Prompt(i, 100)), candidates) == 0 ? 1 : 0;
  EXPECT_NEAR(n_first, 100, 2);
  // Who was away does not get everything when it is back.
  candidates[0].usable = false;
  for (int i = 300; i < 400; ++i) EXPECT_EQ(chooser.Pick(PrefixKeys(Prompt(i, 100)), candidates), 1U);
  candidates[0].usable = true;
  n_first = 0;
  for (int i = 400; i < 430; ++i) n_first += *chooser.Pick(PrefixKeys(Prompt(i, 100)), candidates) == 0 ? 1 : 0;
  EXPECT_NEAR(n_first, 10, 2);
}

TEST(PrefixTable, ForgetsWhatWasNotAskedForLong) {
  PrefixTable table(100);
  table.Add(1, 3);
  for (uint64_t key = 1000; key < 1040; ++key) table.Add(key, 0);
  EXPECT_EQ(table.Find(1), 8U);
  table.Add(1, 5);
  EXPECT_EQ(table.Find(1), 8U + 32U);
  for (uint64_t key = 2000; key < 3000; ++key) {
    table.Add(key, 1);
    ASSERT_LE(table.size(), 101U);
  }
  EXPECT_EQ(table.Find(1), 0U);
}

}  // namespace
}  // namespace quern::upstream
