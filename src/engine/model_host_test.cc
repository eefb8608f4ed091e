#include "engine/model_host.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "engine/collector.h"
#include "engine/fake_tokenizer.h"
#include "engine/scripted_backend.h"

namespace quern::engine {
namespace {

using namespace std::chrono_literals;
using State = Residency::State;

constexpr uint64_t kGiB = uint64_t{1} << 30;

// A scripted backend that says whether its place is wanted.
class Watched final : public Backend {
 public:
  Watched(std::shared_ptr<Backend> backend, std::atomic<bool>& hurried)
      : backend_(std::move(backend)), hurried_(hurried) {}
  const BackendInfo& info() const override { return backend_->info(); }
  const EngineLimits& limits() const override { return backend_->limits(); }
  Result<Generation> Submit(GenerateRequest request, EventSink sink) override {
    return backend_->Submit(std::move(request), std::move(sink));
  }
  BackendStats stats() const override { return backend_->stats(); }
  void Drain() override { backend_->Drain(); }
  void Hurry(bool hurry) override { hurried_ = hurry; }

 private:
  const std::shared_ptr<Backend> backend_;
  std::atomic<bool>& hurried_;
};

// A model of a host, and what a test knows of it.
class Served {
 public:
  Served(const std::shared_ptr<ModelHost>& host, std::string name, uint64_t bytes,
         std::chrono::milliseconds keep_alive = 1h) {
    OnDemandModel model;
    model.name = std::move(name);
    model.info = {.vocab_size = 258, .context_length = 100, .eos_tokens = {FakeTokenizer::kImEnd}};
    model.limits.max_waiting = 2;
    model.limits.max_running = 2;
    model.bytes = bytes;
    model.keep_alive = keep_alive;
    model.load = [this] { return Load(); };
    auto added = ModelHost::Add(host, std::move(model));
    EXPECT_TRUE(added.has_value());
    backend = std::move(*added);
  }

  // A request that runs until it is let go, or answers at once.
  Result<Generation> Ask(Collector& collector, bool hang = false,
                         std::optional<std::chrono::milliseconds> keep_alive = {},
                         Priority priority = Priority::kInteractive) {
    GenerateRequest request;
    request.priority = priority;
    request.prompt = {hang ? 'h' : 'a'};
    request.max_tokens = 5;
    request.stop_tokens = {FakeTokenizer::kImEnd};
    request.keep_alive = keep_alive;
    return backend->Submit(std::move(request), collector.Sink());
  }

  // One request from begin to end.
  void Run(std::optional<std::chrono::milliseconds> keep_alive = {}) {
    Collector collector;
    auto generation = Ask(collector, false, keep_alive);
    ASSERT_TRUE(generation.has_value()) << generation.error().message();
    ASSERT_TRUE(collector.WaitFinished());
    ASSERT_EQ(collector.finished()->reason, FinishReason::kStopToken) << collector.finished()->error.message();
    EXPECT_EQ(collector.n_wrong(), 0);
  }

  State state() const { return backend->residency().state; }
  bool WaitState(State wanted) const {
    for (int i = 0; i < 6000 && state() != wanted; ++i) std::this_thread::sleep_for(10ms);
    return state() == wanted;
  }

  void HoldLoading() { gate_ = true; }
  void LetLoad() { gate_ = false; }

  std::shared_ptr<Backend> backend;
  std::atomic<int> n_loads{0};
  std::atomic<bool> fails{false};
  std::atomic<bool> hurried{false};

 private:
  Result<std::shared_ptr<Backend>> Load() {
    ++n_loads;
    while (gate_) std::this_thread::sleep_for(1ms);
    if (fails) return Error(Code::kNotFound, "no such file");
    constexpr std::string_view kScript = R"({"context_length": 100, "rules": [
      {"match": "h", "text": "x", "fault": {"kind": "hang", "at": 0}}, {"text": "yes"}]})";
    QUERN_ASSIGN(auto made, ScriptedBackend::Create(kScript, std::make_shared<FakeTokenizer>()));
    return std::make_shared<Watched>(std::move(made), hurried);
  }

  std::atomic<bool> gate_{false};
};

std::shared_ptr<ModelHost> Host(uint64_t memory, std::chrono::milliseconds load_timeout = 60s) {
  return std::make_shared<ModelHost>(ModelHost::Options{.memory = memory, .load_timeout = load_timeout});
}

TEST(ModelHost, LoadsAModelOnceForAllThatAsk) {
  const auto host = Host(10 * kGiB);
  Served model(host, "m", kGiB);
  EXPECT_EQ(model.state(), State::kUnloaded);
  EXPECT_EQ(model.backend->residency().bytes, kGiB);
  model.HoldLoading();
  Collector collectors[3];
  std::vector<Generation> generations;
  for (Collector& collector : collectors) generations.push_back(std::move(*model.Ask(collector)));
  EXPECT_TRUE(model.WaitState(State::kLoading));
  model.LetLoad();
  for (Collector& collector : collectors) {
    ASSERT_TRUE(collector.WaitFinished());
    EXPECT_EQ(collector.ids().size(), 4U) << "three letters and the stop token";
  }
  model.Run();
  EXPECT_EQ(model.n_loads, 1);
  EXPECT_EQ(model.state(), State::kLoaded);
}

TEST(ModelHost, RefusesWhatCouldNeverFitWithTheNumbers) {
  OnDemandModel model;
  model.name = "big";
  model.bytes = 3 * kGiB;
  const auto added = ModelHost::Add(Host(2 * kGiB), std::move(model));
  ASSERT_FALSE(added.has_value());
  EXPECT_EQ(added.error().code(), Code::kExhausted);
  EXPECT_NE(added.error().message().find("3.0 GiB"), std::string::npos) << added.error().message();
  EXPECT_NE(added.error().message().find("2.0 GiB"), std::string::npos);
}

TEST(ModelHost, TheLeastRecentlyUsedMakesRoom) {
  const auto host = Host(2 * kGiB);
  Served a(host, "a", kGiB), b(host, "b", kGiB), c(host, "c", kGiB);
  a.Run();
  b.Run();
  a.Run();
  c.Run();
  EXPECT_TRUE(b.WaitState(State::kUnloaded));
  EXPECT_EQ(a.state(), State::kLoaded);
  EXPECT_EQ(c.state(), State::kLoaded);
  b.Run();
  EXPECT_EQ(b.n_loads, 2);
  EXPECT_EQ(a.state(), State::kUnloaded);
}

TEST(ModelHost, WhatIsInUseIsNeverEvicted) {
  const auto host = Host(kGiB);
  Served a(host, "a", kGiB), b(host, "b", kGiB);
  Collector busy, waits;
  auto running = a.Ask(busy, true);
  ASSERT_TRUE(running.has_value());
  ASSERT_TRUE(a.WaitState(State::kLoaded));
  auto waiting = b.Ask(waits);
  ASSERT_TRUE(waiting.has_value());
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(a.state(), State::kLoaded);
  EXPECT_EQ(b.state(), State::kUnloaded);
  running->Reset();
  EXPECT_TRUE(waits.WaitFinished());
  EXPECT_EQ(waits.ids().size(), 4U);
  EXPECT_EQ(a.state(), State::kUnloaded);
}

// A model that always has another request under way when one ends.
class Traffic {
 public:
  explicit Traffic(Served& model) : model_(model) {
    for (std::thread& thread : threads_) {
      thread = std::thread([this] {
        while (!stop_) {
          model_.Run();
          ++n_answers_;
        }
      });
    }
  }
  ~Traffic() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  int n_answers() const { return n_answers_; }

 private:
  Served& model_;
  std::atomic<bool> stop_{false};
  std::atomic<int> n_answers_{0};
  std::thread threads_[2];
};

TEST(ModelHost, ABusyModelYieldsAfterAFairWait) {
  const auto host =
      std::make_shared<ModelHost>(ModelHost::Options{.memory = 2 * kGiB, .load_timeout = 60s, .fair_wait = 20ms});
  Served busy(host, "busy", 2 * kGiB), other(host, "other", kGiB);
  // Held by one request while the next is asked for, it would never be idle by itself.
  Collector holding;
  auto held = busy.Ask(holding, true);
  ASSERT_TRUE(busy.WaitState(State::kLoaded));
  Collector waiting;
  auto asked = other.Ask(waiting);
  ASSERT_TRUE(asked.has_value());
  std::this_thread::sleep_for(100ms);
  Collector behind;
  const auto queued = busy.Ask(behind);
  std::this_thread::sleep_for(50ms);
  EXPECT_FALSE(behind.finished().has_value()) << "new requests wait behind the load";
  EXPECT_EQ(busy.state(), State::kLoaded) << "what is under way goes on";
  held->Reset();
  ASSERT_TRUE(waiting.WaitFinished());
  EXPECT_EQ(waiting.finished()->reason, FinishReason::kStopToken);
  asked->Reset();
  ASSERT_TRUE(behind.WaitFinished()) << "and are answered after it";
  EXPECT_EQ(behind.finished()->reason, FinishReason::kStopToken);
  EXPECT_EQ(busy.n_loads, 2);
}

TEST(ModelHost, ModelsThatAreNeverIdleShareTheMemory) {
  const auto host =
      std::make_shared<ModelHost>(ModelHost::Options{.memory = 2 * kGiB, .load_timeout = 60s, .fair_wait = 20ms});
  Served a(host, "a", 2 * kGiB), b(host, "b", 2 * kGiB);
  const Traffic on_a(a), on_b(b);
  for (int i = 0; i < 6000 && (a.n_loads < 3 || b.n_loads < 3); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GE(a.n_loads, 3);
  EXPECT_GE(b.n_loads, 3);
  EXPECT_GT(on_a.n_answers(), 2);
  EXPECT_GT(on_b.n_answers(), 2);
}

TEST(ModelHost, WhoNoLongerHasToYieldGoesOn) {
  const auto host =
      std::make_shared<ModelHost>(ModelHost::Options{.memory = 2 * kGiB, .load_timeout = 60s, .fair_wait = 10ms});
  Served busy(host, "busy", 2 * kGiB), other(host, "other", kGiB);
  Collector holding;
  const auto held = busy.Ask(holding, true);
  ASSERT_TRUE(busy.WaitState(State::kLoaded));
  Collector waiting;
  auto asked = other.Ask(waiting);
  std::this_thread::sleep_for(100ms);
  Collector behind;
  const auto queued = busy.Ask(behind);
  std::this_thread::sleep_for(50ms);
  EXPECT_FALSE(behind.finished().has_value());
  EXPECT_TRUE(busy.hurried);
  asked->Cancel();
  ASSERT_TRUE(behind.WaitFinished());
  EXPECT_EQ(behind.finished()->reason, FinishReason::kStopToken);
  EXPECT_FALSE(busy.hurried);
  EXPECT_EQ(other.n_loads, 0);
  EXPECT_EQ(busy.n_loads, 1);
}

TEST(ModelHost, BackgroundRequestsKeepNobodyOut) {
  const auto host = Host(2 * kGiB);
  Served batch(host, "batch", 2 * kGiB), other(host, "other", kGiB);
  Collector in_background;
  auto held = batch.Ask(in_background, true, {}, Priority::kBackground);
  ASSERT_TRUE(batch.WaitState(State::kLoaded));
  Collector waiting;
  auto asked = other.Ask(waiting);
  std::this_thread::sleep_for(100ms);
  EXPECT_TRUE(batch.hurried);
  Collector next;
  const auto queued = batch.Ask(next, false, {}, Priority::kBackground);
  std::this_thread::sleep_for(50ms);
  EXPECT_FALSE(next.finished().has_value()) << "at once, not after fair_wait";
  held->Reset();
  ASSERT_TRUE(waiting.WaitFinished());
  asked->Reset();
  ASSERT_TRUE(next.WaitFinished());
  EXPECT_EQ(next.finished()->reason, FinishReason::kStopToken);
}

TEST(ModelHost, NobodyYieldsToTheBackground) {
  const auto host =
      std::make_shared<ModelHost>(ModelHost::Options{.memory = 2 * kGiB, .load_timeout = 60s, .fair_wait = 10ms});
  Served busy(host, "busy", 2 * kGiB), batch(host, "batch", kGiB);
  Collector holding;
  auto held = busy.Ask(holding, true);
  ASSERT_TRUE(busy.WaitState(State::kLoaded));
  Collector in_background;
  const auto asked = batch.Ask(in_background, false, {}, Priority::kBackground);
  std::this_thread::sleep_for(100ms);
  busy.Run();
  EXPECT_EQ(batch.n_loads, 0);
  held->Reset();
  EXPECT_TRUE(in_background.WaitFinished());
}

TEST(ModelHost, ARequestThatWaitsTooLongSaysWhoIsInTheWay) {
  const auto host = Host(kGiB, 200ms);
  Served a(host, "first", kGiB), b(host, "second", kGiB);
  Collector busy, waits;
  auto running = a.Ask(busy, true);
  ASSERT_TRUE(a.WaitState(State::kLoaded));
  auto waiting = b.Ask(waits);
  ASSERT_TRUE(waits.WaitFinished());
  EXPECT_EQ(waits.finished()->reason, FinishReason::kError);
  EXPECT_EQ(waits.finished()->error.code(), Code::kUnavailable);
  EXPECT_NE(waits.finished()->error.message().find("first (1.0 GiB) is in use"), std::string::npos)
      << waits.finished()->error.message();
}

TEST(ModelHost, AModelLeavesWhenItIsIdleForItsTime) {
  const auto host = Host(2 * kGiB);
  Served brief(host, "brief", kGiB, 50ms), stays(host, "stays", kGiB, -1ms);
  brief.Run();
  stays.Run();
  EXPECT_TRUE(brief.WaitState(State::kUnloaded));
  EXPECT_EQ(stays.state(), State::kLoaded);
  EXPECT_FALSE(stays.backend->residency().unloaded_at.has_value());
  EXPECT_EQ(brief.backend->stats().n_finished, 1U) << "its counters stay";
}

TEST(ModelHost, ARequestSaysHowLongItsModelStays) {
  const auto host = Host(2 * kGiB);
  Served model(host, "m", kGiB, 1h);
  model.Run(0ms);
  EXPECT_TRUE(model.WaitState(State::kUnloaded));
  model.Run(1h);
  EXPECT_EQ(model.state(), State::kLoaded);
  EXPECT_TRUE(model.backend->residency().unloaded_at.has_value());
}

TEST(ModelHost, AFailedLoadIsToldToAllThatWaited) {
  const auto host = Host(2 * kGiB);
  Served model(host, "m", kGiB);
  model.fails = true;
  Collector first;
  auto generation = model.Ask(first);
  ASSERT_TRUE(first.WaitFinished());
  EXPECT_EQ(first.finished()->error.code(), Code::kUnavailable);
  EXPECT_NE(first.finished()->error.message().find("could not be loaded"), std::string::npos);
  Collector second;
  const auto soon = model.Ask(second);
  ASSERT_FALSE(soon.has_value()) << "it is not tried again at once";
  EXPECT_NE(soon.error().message().find("could not be loaded"), std::string::npos);
  EXPECT_EQ(model.n_loads, 1);
}

TEST(ModelHost, WaitingRequestsAreCancelledAndCounted) {
  const auto host = Host(2 * kGiB);
  Served model(host, "m", kGiB);
  model.HoldLoading();
  std::vector<Generation> generations;
  Collector collectors[4], one_more;
  for (Collector& collector : collectors) generations.push_back(std::move(*model.Ask(collector)));
  const auto refused = model.Ask(one_more);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::kExhausted);
  generations[1].Cancel();
  EXPECT_TRUE(collectors[1].WaitFinished()) << "although the model is still being loaded";
  EXPECT_EQ(collectors[1].finished()->reason, FinishReason::kCancelled);
  generations[2].Reset();
  model.LetLoad();
  EXPECT_TRUE(collectors[0].WaitFinished());
  EXPECT_TRUE(collectors[3].WaitFinished());
  EXPECT_EQ(collectors[2].n_events(), 0);
}

TEST(ModelHost, EndsCleanlyWhileRequestsWait) {
  Collector collector;
  Generation generation;
  {
    const auto host = Host(kGiB);
    Served model(host, "m", kGiB), other(host, "o", kGiB);
    Collector busy;
    auto running = other.Ask(busy, true);
    ASSERT_TRUE(other.WaitState(State::kLoaded));
    generation = std::move(*model.Ask(collector));
    generation.Reset();
  }
  EXPECT_EQ(collector.n_events(), 0);
}

TEST(ModelHost, EveryRequestOfManyThreadsIsAnswered) {
  const auto host = Host(2 * kGiB);
  Served models[] = {{host, "a", kGiB, 0ms}, {host, "b", kGiB, 5ms}, {host, "c", kGiB}, {host, "d", 2 * kGiB}};
  std::vector<std::thread> users;
  for (int t = 0; t < 4; ++t) {
    users.emplace_back([&models, t] {
      for (int i = 0; i < 20; ++i) models[(t + i) % 4].Run();
    });
  }
  for (std::thread& user : users) user.join();
  uint64_t bytes = 0;
  for (const Served& model : models) {
    if (model.state() == State::kLoaded) bytes += model.backend->residency().bytes;
  }
  EXPECT_LE(bytes, 2 * kGiB);
}

}  // namespace
}  // namespace quern::engine
