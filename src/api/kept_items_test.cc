#include "api/kept_items.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

namespace quern::api {
namespace {

using std::chrono::hours;
using std::chrono::system_clock;

constexpr ItemKind kKind = ItemKind::kResponse;

KeptItem Item(std::string text, std::vector<std::string> part_ids = {}) {
  return {.object = std::move(text), .input = "[]", .output = "[]", .part_ids = std::move(part_ids), .model = "m"};
}

std::string ObjectOf(KeptItems& store, std::string_view owner, std::string_view id, ItemKind kind = kKind) {
  const auto item = store.Get(kind, owner, id).value();
  return item ? item->object : "nothing";
}

std::shared_ptr<KeptItems> InMemory(size_t max_bytes = 1 << 20, std::chrono::milliseconds retention = hours(1),
                                    KeptItems::Now now = system_clock::now) {
  return KeptItems::Create(store::Database::Open("").value(), retention, max_bytes, std::move(now)).value();
}

TEST(KeptItems, GivesBackWhatItsOwnerPutIn) {
  const auto store = InMemory();
  store->Put(kKind, "me", "r1", Item("one", {"m1"})).value();
  EXPECT_EQ(ObjectOf(*store, "me", "r1"), "one");
  EXPECT_EQ(store->FindByPart("me", "m1").value()->object, "one");
  EXPECT_EQ(ObjectOf(*store, "me", "r2"), "nothing");
  EXPECT_EQ(ObjectOf(*store, "me", "r1", ItemKind::kChatCompletion), "nothing") << "another kind";
  EXPECT_EQ(ObjectOf(*store, "you", "r1"), "nothing") << "another owner's does not exist";
  EXPECT_FALSE(store->FindByPart("you", "m1").value());
  EXPECT_FALSE(store->Delete(kKind, "you", "r1").value());
  EXPECT_TRUE(store->Delete(kKind, "me", "r1").value());
  EXPECT_FALSE(store->Delete(kKind, "me", "r1").value());
  EXPECT_FALSE(store->FindByPart("me", "m1").value());
  EXPECT_EQ(store->n_bytes(), 0);
}

TEST(KeptItems, ForgetsAfterItsTime) {
  system_clock::time_point now{hours(1000)};
  const auto store = InMemory(1 << 20, hours(2), [&] { return now; });
  store->Put(kKind, "", "old", Item("x")).value();
  now += hours(1);
  store->Put(kKind, "", "new", Item("x")).value();
  EXPECT_EQ(ObjectOf(*store, "", "old"), "x");
  now += hours(1);
  EXPECT_EQ(ObjectOf(*store, "", "old"), "nothing");
  EXPECT_EQ(ObjectOf(*store, "", "new"), "x");
  now += hours(1);
  EXPECT_EQ(ObjectOf(*store, "", "new"), "nothing");
  EXPECT_EQ(store->n_bytes(), 0);
}

TEST(KeptItems, NeverHoldsMoreThanItMay) {
  constexpr size_t kMost = 8'000;
  const auto store = InMemory(kMost);
  for (int i = 0; i < 100; ++i) {
    store->Put(kKind, "", "r" + std::to_string(i), Item(std::string(static_cast<size_t>(i) * 10, 'x'), {"m"})).value();
    EXPECT_LE(store->n_bytes(), kMost);
    EXPECT_NE(ObjectOf(*store, "", "r" + std::to_string(i)), "nothing") << "the newest stays";
  }
  EXPECT_EQ(ObjectOf(*store, "", "r0"), "nothing") << "the oldest go first";
  const size_t before = store->n_bytes();
  store->Put(kKind, "", "huge", Item(std::string(kMost, 'x'))).value();
  EXPECT_EQ(ObjectOf(*store, "", "huge"), "nothing");
  EXPECT_EQ(store->n_bytes(), before) << "what can never fit pushes nothing out";
}

TEST(KeptItems, AnIdPutAgainReplaces) {
  const auto store = InMemory();
  store->Put(kKind, "", "r", Item("one", {"a"})).value();
  const auto held = store->Get(kKind, "", "r").value();
  store->Put(kKind, "", "r", Item("two", {"b"})).value();
  EXPECT_EQ(ObjectOf(*store, "", "r"), "two");
  EXPECT_FALSE(store->FindByPart("", "a").value());
  EXPECT_EQ(held->object, "one") << "what is in use stays whole";
}

TEST(KeptItems, ListsInPagesByAgeModelAndMetadata) {
  const auto store = InMemory();
  const ItemKind kind = ItemKind::kChatCompletion;
  for (int i = 0; i < 10; ++i) {
    KeptItem item = Item(std::to_string(i));
    item.model = i % 2 == 0 ? "even" : "odd";
    item.metadata = i < 5 ? R"({"half":"first","a'b":"c"})" : R"({"half":"second"})";
    store->Put(kind, "me", "c" + std::to_string(i), item).value();
    store->Put(kind, "you", "c" + std::to_string(i), item).value();
  }
  const auto ids = [&](const KeptFilter& filter) {
    const KeptPage page = store->List(kind, "me", filter).value();
    std::string text;
    for (const std::string& id : page.ids) text += id + " ";
    return text + (page.has_more ? "..." : "");
  };
  EXPECT_EQ(ids({.limit = 3}), "c0 c1 c2 ...");
  EXPECT_EQ(ids({.after = "c2", .limit = 3}), "c3 c4 c5 ...");
  EXPECT_EQ(ids({.after = "c7", .limit = 2}), "c8 c9 ");
  EXPECT_EQ(ids({.newest_first = true, .limit = 2}), "c9 c8 ...");
  EXPECT_EQ(ids({.after = "c1", .newest_first = true}), "c0 ");
  EXPECT_EQ(ids({.model = "odd"}), "c1 c3 c5 c7 c9 ");
  EXPECT_EQ(ids({.model = "odd", .metadata = {{"half", "first"}, {"a'b", "c"}}}), "c1 c3 ");
  EXPECT_EQ(ids({.metadata = {{"half", "third"}}}), "");
  EXPECT_EQ(store->List(kind, "me", {.after = "none"}).error().code(), Code::kNotFound);
}

TEST(KeptItems, AnUpdateCountsItsBytes) {
  const auto store = InMemory();
  store->Put(kKind, "", "r", Item("one")).value();
  const size_t before = store->n_bytes();
  EXPECT_TRUE(store->Update(kKind, "", "r", "\u00e9\u00e9\u00e9\u00e9", R"({"k":"v"})").value());
  EXPECT_EQ(store->n_bytes(), before + 8 - 3 + 9 - 2);
  EXPECT_EQ(store->Get(kKind, "", "r").value()->metadata, R"({"k":"v"})");
  EXPECT_FALSE(store->Update(kKind, "", "none", "x", "{}").value());
  EXPECT_TRUE(store->Delete(kKind, "", "r").value());
  EXPECT_EQ(store->n_bytes(), 0);
}

// Any sequence of calls with a restart anywhere leaves what the same calls leave without one.
TEST(KeptItems, ARestartAnywhereChangesNothing) {
  const auto path = std::filesystem::temp_directory_path() / ("quern_kept_" + std::to_string(getpid()) + ".db");
  for (unsigned seed = 0; seed < 10; ++seed) {
    std::filesystem::remove(path);
    std::mt19937 rng(seed);
    const auto open = [&] { return KeptItems::Create(store::Database::Open(path).value(), hours(1), 20'000).value(); };
    auto restarted = open();
    const auto steady = InMemory(20'000);
    for (int step = 0; step < 120; ++step) {
      const std::string id = "r" + std::to_string(rng() % 30);
      const std::string owner = rng() % 2 == 0 ? "a" : std::string("b\0c", 3);
      const KeptItem item = Item(std::string(rng() % 2000, 'x'), {"part" + std::to_string(rng() % 30)});
      const unsigned action = rng() % 8;
      for (KeptItems* store : {restarted.get(), steady.get()}) {
        if (action == 0) {
          store->Delete(kKind, owner, id).value();
        } else if (action == 1) {
          store->Update(kKind, owner, id, "changed", "{}").value();
        } else {
          store->Put(kKind, owner, id, item).value();
        }
      }
      if (rng() % 10 == 0) {
        restarted.reset();
        restarted = open();
      }
      ASSERT_EQ(restarted->n_bytes(), steady->n_bytes());
    }
    for (const std::string& owner : {std::string("a"), std::string("b\0c", 3)}) {
      const KeptPage left = restarted->List(kKind, owner, {.limit = 100}).value();
      const KeptPage right = steady->List(kKind, owner, {.limit = 100}).value();
      EXPECT_EQ(left.ids, right.ids);
      EXPECT_EQ(left.objects, right.objects);
      for (int i = 0; i < 30; ++i) {
        const auto one = restarted->FindByPart(owner, "part" + std::to_string(i)).value();
        const auto two = steady->FindByPart(owner, "part" + std::to_string(i)).value();
        ASSERT_EQ(one == nullptr, two == nullptr);
        if (one) {
          EXPECT_EQ(one->object, two->object);
        }
      }
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace quern::api
