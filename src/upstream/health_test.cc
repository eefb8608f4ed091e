#include "upstream/health.h"

#include <gtest/gtest.h>

namespace quern::upstream {
namespace {

using namespace std::chrono_literals;
using State = Health::State;

constexpr Health::Clock::time_point kStart{};
constexpr Health::Options kProbed{.max_failures = 3, .cooldown = 2s, .max_cooldown = 5s, .probed = true};
constexpr Health::Options kUnprobed{.max_failures = 3, .cooldown = 2s, .max_cooldown = 5s, .probed = false};

void Fail(Health& health, int times, Health::Clock::time_point at) {
  for (int i = 0; i < times; ++i) health.OnFailure(at, "refused");
}

TEST(Health, OnlyFailuresInARowBringItDown) {
  Health health(kProbed);
  Fail(health, 2, kStart);
  health.OnSuccess();
  Fail(health, 2, kStart);
  EXPECT_TRUE(health.MayAsk(kStart, 5));
  Fail(health, 1, kStart);
  EXPECT_EQ(health.state(), State::kDown);
  EXPECT_FALSE(health.MayAsk(kStart + 1h, 0)) << "only a probe brings it back";
  EXPECT_EQ(health.last_failure(), "refused");
}

TEST(Health, AGoodProbeLetsOneRequestTryIt) {
  Health health(kProbed);
  Fail(health, 3, kStart);
  health.OnProbe(kStart + 1s, true, "");
  EXPECT_EQ(health.state(), State::kTrial);
  EXPECT_TRUE(health.MayAsk(kStart + 1s, 0));
  EXPECT_FALSE(health.MayAsk(kStart + 1s, 1));
  health.OnSuccess();
  EXPECT_TRUE(health.MayAsk(kStart + 1s, 7));
}

TEST(Health, AFailedTrialBringsItDownAtOnce) {
  Health health(kProbed);
  Fail(health, 3, kStart);
  health.OnProbe(kStart, true, "");
  Fail(health, 1, kStart);
  EXPECT_EQ(health.state(), State::kDown);
}

TEST(Health, FailedProbesBringItDownToo) {
  Health health(kProbed);
  for (int i = 0; i < 3; ++i) health.OnProbe(kStart, false, "silent");
  EXPECT_EQ(health.state(), State::kDown);
  EXPECT_EQ(health.last_failure(), "silent");
}

TEST(Health, WithoutProbesItIsTriedAfterItsCooldownWhichDoubles) {
  Health health(kUnprobed);
  Fail(health, 3, kStart);
  EXPECT_FALSE(health.MayAsk(kStart + 1999ms, 0));
  EXPECT_EQ(health.MayAskAt(kStart), kStart + 2s);
  EXPECT_TRUE(health.MayAsk(kStart + 2s, 0));
  Fail(health, 1, kStart + 2s);
  EXPECT_FALSE(health.MayAsk(kStart + 5999ms, 0));
  EXPECT_TRUE(health.MayAsk(kStart + 6s, 0));
  Fail(health, 1, kStart + 6s);
  EXPECT_FALSE(health.MayAsk(kStart + 10s, 0));
  EXPECT_TRUE(health.MayAsk(kStart + 11s, 0)) << "5 s is the most";
}

TEST(Health, AHoldIsNoFailure) {
  Health health(kProbed);
  health.HoldUntil(kStart + 3s);
  health.HoldUntil(kStart + 1s);
  EXPECT_FALSE(health.MayAsk(kStart + 2s, 0));
  EXPECT_EQ(health.MayAskAt(kStart), kStart + 3s);
  EXPECT_TRUE(health.MayAsk(kStart + 3s, 0));
  EXPECT_EQ(health.state(), State::kUp);
}

}  // namespace
}  // namespace quern::upstream
