#include "api/response_store.h"

#include <gtest/gtest.h>

namespace quern::api {
namespace {

using std::chrono::hours;

StoredResponse Response(std::string text, std::vector<std::string> item_ids = {}) {
  return {std::move(text), "[]", "[]", std::move(item_ids)};
}

TEST(ResponseStore, GivesBackWhatItsOwnerPutIn) {
  MemoryResponseStore store(hours(1), 1 << 20);
  store.Put("me", "r1", Response("one", {"m1"}));
  ASSERT_TRUE(store.Get("me", "r1"));
  EXPECT_EQ(store.Get("me", "r1")->response, "one");
  EXPECT_EQ(store.FindItem("me", "m1")->response, "one");
  EXPECT_FALSE(store.Get("me", "r2"));
  EXPECT_FALSE(store.Get("you", "r1")) << "another owner's does not exist";
  EXPECT_FALSE(store.FindItem("you", "m1"));
  EXPECT_FALSE(store.Delete("you", "r1"));
  EXPECT_TRUE(store.Delete("me", "r1"));
  EXPECT_FALSE(store.Delete("me", "r1"));
  EXPECT_FALSE(store.FindItem("me", "m1"));
  EXPECT_EQ(store.n_bytes(), 0);
}

TEST(ResponseStore, ForgetsAfterItsTime) {
  MemoryResponseStore::Clock::time_point now{};
  MemoryResponseStore store(hours(2), 1 << 20, [&] { return now; });
  store.Put("", "old", Response("x"));
  now += hours(1);
  store.Put("", "new", Response("x"));
  EXPECT_TRUE(store.Get("", "old"));
  now += hours(1);
  EXPECT_FALSE(store.Get("", "old"));
  EXPECT_TRUE(store.Get("", "new"));
  now += hours(1);
  EXPECT_FALSE(store.Get("", "new"));
  EXPECT_EQ(store.n_bytes(), 0);
}

TEST(ResponseStore, NeverHoldsMoreThanItMay) {
  constexpr size_t kMost = 8'000;
  MemoryResponseStore store(hours(1), kMost);
  for (int i = 0; i < 100; ++i) {
    store.Put("", "r" + std::to_string(i), Response(std::string(static_cast<size_t>(i) * 10, 'x'), {"m"}));
    EXPECT_LE(store.n_bytes(), kMost);
    EXPECT_TRUE(store.Get("", "r" + std::to_string(i))) << "the newest stays";
  }
  EXPECT_FALSE(store.Get("", "r0")) << "the oldest go first";
  const size_t before = store.n_bytes();
  store.Put("", "huge", Response(std::string(kMost, 'x')));
  EXPECT_FALSE(store.Get("", "huge"));
  EXPECT_EQ(store.n_bytes(), before) << "what can never fit pushes nothing out";
}

TEST(ResponseStore, AnIdPutAgainReplaces) {
  MemoryResponseStore store(hours(1), 1 << 20);
  store.Put("", "r", Response("one", {"a"}));
  const auto held = store.Get("", "r");
  store.Put("", "r", Response("two", {"b"}));
  EXPECT_EQ(store.Get("", "r")->response, "two");
  EXPECT_FALSE(store.FindItem("", "a"));
  EXPECT_EQ(held->response, "one") << "what is in use stays whole";
}

}  // namespace
}  // namespace quern::api
