#include "engine/native_engine.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "engine/collector.h"
#include "engine/fake_model.h"
#include "engine/sampler.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;

constexpr int kVocab = 97;

struct World {
  int context_length = 4096;
  int n_pages = 512;
  NativeOptions options = {.n_threads = 1};
  std::shared_ptr<FakeWishes> wishes = std::make_shared<FakeWishes>();
};

std::unique_ptr<Backend> Make(const World& world) {
  NativeParts parts;
  parts.model = std::make_unique<FakeModel>(kVocab, world.context_length, world.wishes);
  parts.pool = std::make_unique<FakePool>(world.n_pages);
  parts.activations = std::make_unique<FakeActivations>();
  parts.make_sequence = [](model::KvPool& pool) {
    return std::make_unique<FakeSequence>(static_cast<FakePool&>(pool));
  };
  auto engine = CreateNativeEngine(std::move(parts), world.options);
  if (!engine) ADD_FAILURE() << engine.error().ToString();
  return engine ? std::move(*engine) : nullptr;
}

GenerateRequest RandomRequest(unsigned seed, int longest_prompt = 300, int longest_output = 60) {
  std::mt19937 rng(seed);
  GenerateRequest request;
  const size_t n_prompt = 1 + rng() % static_cast<unsigned>(longest_prompt);
  for (size_t i = 0; i < n_prompt; ++i) request.prompt.push_back(static_cast<TokenId>(10 + rng() % 80));
  request.max_tokens = 1 + static_cast<int>(rng() % static_cast<unsigned>(longest_output));
  const SamplingParams kParams[] = {{.temperature = 0},
                                    {.temperature = 0.7F, .top_k = 20, .top_p = 0.8F, .repetition_penalty = 1.05F},
                                    {.temperature = 1},
                                    {.temperature = 1, .min_p = 0.1F, .frequency_penalty = 0.5F}};
  request.sampling = kParams[rng() % 4];
  request.sampling.seed = rng();
  if (rng() % 2 == 0) request.stop_tokens = {3, 11};
  if (rng() % 3 == 0) request.n_logprobs = static_cast<int>(rng() % 4);
  if (request.n_logprobs >= 0 && rng() % 2 == 0) request.prompt_logprobs = true;
  return request;
}

// What a generation has to be, computed without any engine.
struct Expected {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  std::vector<float> prompt_logprobs;
  FinishReason reason = FinishReason::kLength;
};

Expected Definition(const GenerateRequest& request, int context_length) {
  const FakeModel model(kVocab, context_length, std::make_shared<FakeWishes>());
  Sampler sampler(request, kVocab);
  SamplerScratch scratch;
  std::vector<TokenLogprob> top;
  Expected expected;
  std::vector<TokenId> tokens = request.prompt;
  for (size_t i = 1; request.prompt_logprobs && i < tokens.size(); ++i) {
    const auto row = model.LogitsAfter(std::span(tokens).first(i));
    expected.prompt_logprobs.push_back(LogprobOf(row, tokens[i], request.n_logprobs, kVocab, top).value());
  }
  while (static_cast<int>(expected.tokens.size()) < request.max_tokens &&
         static_cast<int>(tokens.size()) < context_length) {
    const auto row = model.LogitsAfter(tokens);
    const TokenId token = sampler.Choose(row, static_cast<int>(expected.tokens.size()), scratch).value();
    if (request.n_logprobs >= 0)
      expected.logprobs.push_back(LogprobOf(row, token, request.n_logprobs, kVocab, top).value());
    sampler.Accept(token);
    tokens.push_back(token);
    expected.tokens.push_back(token);
    const auto& stops = request.stop_tokens;
    if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
      expected.reason = FinishReason::kStopToken;
      break;
    }
  }
  return expected;
}

void ExpectMatches(const Collector& out, const GenerateRequest& request, int context_length) {
  const Expected expected = Definition(request, context_length);
  ASSERT_TRUE(out.finished());
  EXPECT_EQ(out.ids(), expected.tokens);
  EXPECT_EQ(out.finished()->reason, expected.reason) << out.finished()->error.ToString();
  EXPECT_EQ(out.finished()->n_prompt, static_cast<int>(request.prompt.size()));
  EXPECT_EQ(out.n_wrong(), 0);
  const auto tokens = out.tokens();
  for (size_t i = 0; i < expected.logprobs.size(); ++i) {
    EXPECT_EQ(tokens[i].logprob, expected.logprobs[i]);
    EXPECT_EQ(tokens[i].top.size(), static_cast<size_t>(request.n_logprobs));
  }
  ASSERT_EQ(out.prompt_logprobs().has_value(), request.prompt_logprobs);
  if (!request.prompt_logprobs) return;
  const auto scores = *out.prompt_logprobs();
  ASSERT_EQ(scores.chosen.size(), request.prompt.size());
  ASSERT_EQ(scores.top.size(), request.prompt.size());
  EXPECT_EQ(scores.chosen[0].logprob, 0);
  EXPECT_TRUE(scores.top[0].empty());
  for (size_t i = 1; i < scores.chosen.size(); ++i) {
    EXPECT_EQ(scores.chosen[i].token, request.prompt[i]);
    EXPECT_EQ(scores.chosen[i].logprob, expected.prompt_logprobs[i - 1]);
  }
}

// Submits all at once and compares each with its definition.
void RunAll(Backend& engine, const std::vector<GenerateRequest>& requests) {
  std::vector<Collector> out(requests.size());
  std::vector<Generation> generations;
  for (size_t i = 0; i < requests.size(); ++i) {
    auto generation = engine.Submit(requests[i], out[i].Sink());
    ASSERT_TRUE(generation) << generation.error().ToString();
    generations.push_back(std::move(*generation));
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(out[i].WaitFinished()) << "request " << i;
    SCOPED_TRACE(i);
    ExpectMatches(out[i], requests[i], engine.info().context_length);
  }
}

std::vector<GenerateRequest> RandomRequests(unsigned from, int n) {
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < n; ++i) requests.push_back(RandomRequest(from + static_cast<unsigned>(i)));
  return requests;
}

TEST(NativeEngine, ABatchGivesWhatEachGivesAlone) {
  World world;
  auto engine = Make(world);
  RunAll(*engine, RandomRequests(1, 60));
  EXPECT_GT(world.wishes->most_sequences, 4);
  EXPECT_LE(world.wishes->most_rows, 256 + 16);
  const BackendStats stats = engine->stats();
  EXPECT_EQ(stats.n_finished, 60U);
  EXPECT_EQ(stats.n_running, 0);
  EXPECT_EQ(stats.kv_bytes_used, 0U);
}

TEST(NativeEngine, ChunksAndThreadsChangeNothing) {
  for (const int prefill : {1, 7, 32, 1000}) {
    for (const int n_threads : {1, 2, 4}) {
      World world;
      world.options.prefill_tokens = prefill;
      world.options.score_tokens = 1 + prefill / 2;
      world.options.n_threads = n_threads;
      auto engine = Make(world);
      RunAll(*engine, RandomRequests(100, 12));
    }
  }
}

TEST(NativeEngine, WantOfPagesDelaysButNeverFails) {
  World world;
  world.context_length = 400;
  world.n_pages = 13;  // one full context and nothing more
  auto engine = Make(world);
  RunAll(*engine, RandomRequests(200, 40));
  EXPECT_EQ(engine->stats().n_finished, 40U);
  EXPECT_EQ(engine->stats().n_failed, 0U);
  EXPECT_EQ(engine->stats().kv_bytes_used, 0U);
}

TEST(NativeEngine, LongOutputsThatCompeteForPagesAllFinish) {
  World world;
  world.context_length = 640;
  world.n_pages = 24;  // four of them start, hardly one fits at its full length
  auto engine = Make(world);
  std::vector<GenerateRequest> requests;
  for (unsigned i = 0; i < 6; ++i) {
    requests.push_back(RandomRequest(300 + i, 40));
    requests.back().max_tokens = 550;
    requests.back().stop_tokens.clear();
  }
  RunAll(*engine, requests);
  int64_t n_needed = 0;
  for (const auto& request : requests) n_needed += static_cast<int64_t>(request.prompt.size()) + 549;
  EXPECT_GT(world.wishes->n_rows, n_needed) << "nothing was put aside: the test does not test";
  uint64_t n_prompt = 0;
  for (const auto& request : requests) n_prompt += request.prompt.size();
  EXPECT_EQ(engine->stats().n_prompt_tokens, n_prompt) << "tokens that are read again must not be counted again";
  EXPECT_EQ(engine->stats().n_generated_tokens, 6U * 550);
}

TEST(NativeEngine, ContextEndIsALengthFinishAndTooLongIsRefused) {
  World world;
  world.context_length = 64;
  auto engine = Make(world);
  GenerateRequest request = RandomRequest(1);
  request.prompt.assign(60, 20);
  request.max_tokens = 100;
  request.stop_tokens.clear();
  RunAll(*engine, {request});
  request.prompt.assign(64, 20);
  Collector out;
  auto refused = engine->Submit(request, out.Sink());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("n_prompt=64, n_ctx=64, n_over=1"), std::string::npos);
  request.max_tokens = 0;  // scoring alone fills the context to the last place
  Collector scored;
  auto generation = engine->Submit(request, scored.Sink());
  ASSERT_TRUE(generation);
  ASSERT_TRUE(scored.WaitFinished());
  EXPECT_EQ(scored.finished()->reason, FinishReason::kLength);
}

TEST(NativeEngine, ScoresAPromptWithoutGenerating) {
  auto engine = Make({});
  for (const size_t n : {1U, 2U, 31U, 32U, 33U, 200U}) {
    GenerateRequest request = RandomRequest(static_cast<unsigned>(n));
    request.prompt.resize(n, 42);
    request.max_tokens = 0;
    request.n_logprobs = 2;
    request.prompt_logprobs = true;
    RunAll(*engine, {request});
  }
}

TEST(NativeEngine, ProgressCountsUpToThePrompt) {
  World world;
  world.options.prefill_tokens = 50;
  auto engine = Make(world);
  GenerateRequest request = RandomRequest(4);
  request.prompt.assign(170, 30);
  request.prompt_logprobs = false;
  Collector out;
  auto generation = engine->Submit(request, out.Sink());
  ASSERT_TRUE(out.WaitFinished());
  std::vector<int> done;
  for (const auto& progress : out.progress()) done.push_back(progress.n_done);
  EXPECT_EQ(done, (std::vector<int>{50, 100, 150, 170}));
}

TEST(NativeEngine, CancelStopsWithinAStepAndLeavesTheOthersAlone) {
  World world;
  world.wishes->per_step = std::chrono::microseconds(300);
  auto engine = Make(world);
  std::vector<GenerateRequest> requests = RandomRequests(400, 8);
  for (auto& request : requests) request.max_tokens = 200;
  std::vector<Collector> out(requests.size());
  std::vector<Generation> generations;
  for (size_t i = 0; i < requests.size(); ++i)
    generations.push_back(engine->Submit(requests[i], out[i].Sink()).value());
  for (size_t i = 0; i < requests.size(); i += 2) {
    out[i].WaitTokens(3);
    generations[i].Cancel();
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(out[i].WaitFinished());
    if (i % 2 == 1) ExpectMatches(out[i], requests[i], engine->info().context_length);
  }
  EXPECT_EQ(engine->stats().kv_bytes_used, 0U);
}

TEST(NativeEngine, CancelWorksWhileAPromptIsRead) {
  World world;
  world.context_length = 100000;
  world.n_pages = 4000;
  world.wishes->per_step = milliseconds(2);
  auto engine = Make(world);
  GenerateRequest request = RandomRequest(5);
  request.prompt.assign(90000, 20);
  request.prompt_logprobs = false;
  Collector out;
  auto generation = engine->Submit(request, out.Sink()).value();
  while (out.progress().empty()) std::this_thread::yield();
  world.wishes->held = true;
  const int n_steps = world.wishes->n_steps;
  generation.Cancel();
  world.wishes->held = false;
  ASSERT_TRUE(out.WaitFinished());
  EXPECT_EQ(out.finished()->reason, FinishReason::kCancelled);
  EXPECT_LE(world.wishes->n_steps, n_steps + 1);
  EXPECT_EQ(engine->stats().n_cancelled, 1U);
}

TEST(NativeEngine, ADestroyedHandleSilencesItsSinkAndFreesItsPages) {
  World world;
  world.wishes->per_step = std::chrono::microseconds(100);
  auto engine = Make(world);
  for (unsigned i = 0; i < 30; ++i) {
    auto held = std::make_shared<int>(0);
    GenerateRequest request = RandomRequest(500 + i);
    request.max_tokens = 3000;
    auto generation = engine->Submit(request, [held](const Event&) { ++*held; });
    ASSERT_TRUE(generation);
    std::this_thread::sleep_for(std::chrono::microseconds(200 * (i % 5)));
    generation->Reset();
    EXPECT_EQ(held.use_count(), 1) << "the sink is gone";
  }
  Collector out;
  auto last = engine->Submit(RandomRequest(1), out.Sink());
  ASSERT_TRUE(out.WaitFinished());
  EXPECT_EQ(engine->stats().kv_bytes_used, 0U);
}

TEST(NativeEngine, DeadlinesEndRunningAndWaitingRequests) {
  World world;
  world.options.limits.max_running = 1;
  world.wishes->per_step = milliseconds(1);
  auto engine = Make(world);
  GenerateRequest request = RandomRequest(6);
  request.max_tokens = 3000;
  request.stop_tokens.clear();
  request.time_limit = milliseconds(60);
  Collector running, waiting;
  auto first = engine->Submit(request, running.Sink());
  auto second = engine->Submit(request, waiting.Sink());
  ASSERT_TRUE(running.WaitFinished());
  ASSERT_TRUE(waiting.WaitFinished());
  EXPECT_EQ(running.finished()->reason, FinishReason::kError);
  EXPECT_EQ(running.finished()->error.code(), Code::kDeadline);
  EXPECT_EQ(waiting.finished()->error.code(), Code::kDeadline);
}

TEST(NativeEngine, ABrokenRequestFailsAlone) {
  World world;
  world.wishes->faults = true;
  world.wishes->held = true;  // until all are in, so that they meet in one batch
  auto engine = Make(world);
  std::vector<GenerateRequest> requests = RandomRequests(600, 8);
  for (auto& request : requests) {
    // The healthy ones must not sample the faulty ids by chance.
    for (TokenId id : {7, 8, 9}) request.sampling.logit_bias.push_back({id, -100.0F});
    request.prompt_logprobs = false;
  }
  requests[1].prompt.back() = FakeWishes::kNanToken;
  requests[3].prompt.back() = FakeWishes::kThrowToken;
  requests[5].prompt.front() = FakeWishes::kErrorToken;
  std::vector<Collector> out(requests.size());
  std::vector<Generation> generations;
  for (size_t i = 0; i < requests.size(); ++i)
    generations.push_back(engine->Submit(requests[i], out[i].Sink()).value());
  world.wishes->held = false;
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(out[i].WaitFinished());
    SCOPED_TRACE(i);
    if (i == 1 || i == 3 || i == 5) {
      EXPECT_EQ(out[i].finished()->reason, FinishReason::kError);
      EXPECT_EQ(out[i].finished()->error.code(), Code::kInternal);
    } else {
      ExpectMatches(out[i], requests[i], engine->info().context_length);
    }
  }
  EXPECT_EQ(engine->stats().n_failed, 3U);
  EXPECT_EQ(engine->stats().kv_bytes_used, 0U);
}

TEST(NativeEngine, QueueIsBoundedAndDrainRefuses) {
  World world;
  world.options.limits.max_running = 2;
  world.options.limits.max_waiting = 3;
  world.wishes->held = true;
  auto engine = Make(world);
  std::vector<Collector> out(6);
  std::vector<Generation> generations;
  for (size_t i = 0; i < 5; ++i) generations.push_back(engine->Submit(RandomRequest(7), out[i].Sink()).value());
  auto refused = engine->Submit(RandomRequest(7), out[5].Sink());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kExhausted);
  engine->Drain();
  refused = engine->Submit(RandomRequest(7), out[5].Sink());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  world.wishes->held = false;
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(out[i].WaitFinished());
    ExpectMatches(out[i], RandomRequest(7), engine->info().context_length);
  }
}

// Whoever looks at the queue while an interactive request is there sees no step that computes a background one.
TEST(NativeEngine, BackgroundStandsStillWhileAnInteractiveOneRuns) {
  World world;
  world.wishes->per_step = std::chrono::microseconds(200);
  auto engine = Make(world);
  GenerateRequest slow = RandomRequest(1);
  slow.priority = Priority::kBackground;
  slow.stop_tokens.clear();
  slow.max_tokens = 3000;
  Collector background;
  auto running = engine->Submit(slow, background.Sink()).value();
  ASSERT_TRUE(background.WaitTokens(5));
  for (unsigned i = 0; i < 10; ++i) {
    const GenerateRequest request = RandomRequest(100 + i);
    size_t n_seen = 0;
    size_t n_moved = 0;
    Collector out;
    const auto watch = [&, sink = out.Sink()](const Event& event) {
      const size_t n_now = background.ids().size();
      if (n_seen != 0 && n_now != n_seen) ++n_moved;
      n_seen = n_now;
      sink(event);
    };
    auto generation = engine->Submit(request, watch).value();
    ASSERT_TRUE(out.WaitFinished());
    ExpectMatches(out, request, engine->info().context_length);
    EXPECT_EQ(n_moved, 0U);
  }
  running.Cancel();
  ASSERT_TRUE(background.WaitFinished());
  EXPECT_EQ(background.finished()->reason, FinishReason::kCancelled);
}

// The same of two engines on one machine: the one in the background begins no step while the other one has work, and
// goes on by itself when that is over.
TEST(NativeEngine, BackgroundStandsStillWhileAnotherEngineIsAsked) {
  World world;
  world.options.right_of_way = std::make_shared<RightOfWay>();
  World other = world;
  other.wishes = std::make_shared<FakeWishes>();
  auto engine = Make(world);
  auto asked = Make(other);
  GenerateRequest batch = RandomRequest(1);
  batch.priority = Priority::kBackground;
  batch.stop_tokens.clear();
  batch.max_tokens = 3000;
  world.wishes->per_step = std::chrono::microseconds(200);
  Collector background;
  auto running = engine->Submit(batch, background.Sink()).value();
  ASSERT_TRUE(background.WaitTokens(5));
  for (unsigned i = 0; i < 5; ++i) {
    other.wishes->held = true;
    Collector out;
    const GenerateRequest request = RandomRequest(100 + i);
    auto generation = asked->Submit(request, out.Sink()).value();
    const int n_begun = world.wishes->n_steps;
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_LE(world.wishes->n_steps, n_begun + 1);  // the step that was under way
    const size_t n_then = background.ids().size();
    other.wishes->held = false;
    ASSERT_TRUE(out.WaitFinished());
    ExpectMatches(out, request, asked->info().context_length);
    ASSERT_TRUE(background.WaitTokens(n_then + 5));
  }
  // When its place is needed it goes on, so that nobody waits for one who waits.
  {
    other.wishes->held = true;
    Collector out;
    auto generation = asked->Submit(RandomRequest(7), out.Sink()).value();
    const size_t n_then = background.ids().size();
    engine->Hurry(true);
    ASSERT_TRUE(background.WaitTokens(n_then + 5));
    EXPECT_FALSE(out.finished());
    engine->Hurry(false);
    other.wishes->held = false;
    ASSERT_TRUE(out.WaitFinished());
  }
  // What stands still can be cancelled, and ends when its time is over.
  other.wishes->held = true;
  Collector out;
  auto generation = asked->Submit(RandomRequest(7), out.Sink()).value();
  Collector late;
  batch.time_limit = milliseconds(10);
  auto waiting = engine->Submit(batch, late.Sink()).value();
  ASSERT_TRUE(late.WaitFinished());
  EXPECT_EQ(late.finished()->error.code(), Code::kDeadline);
  running.Cancel();
  ASSERT_TRUE(background.WaitFinished());
  EXPECT_EQ(background.finished()->reason, FinishReason::kCancelled);
  EXPECT_FALSE(out.finished());
  other.wishes->held = false;
}

// One place and pages for little more than one: background ones are set aside again and again, and still say what
// they have to.
TEST(NativeEngine, BackgroundGivesWayAndSaysTheSame) {
  World world;
  world.options.limits.max_running = 2;
  world.options.limits.max_waiting = 40;
  world.n_pages = 24;
  auto engine = Make(world);
  std::vector<GenerateRequest> requests = RandomRequests(900, 30);
  for (size_t i = 0; i < requests.size(); i += 2) requests[i].priority = Priority::kBackground;
  RunAll(*engine, requests);
  EXPECT_EQ(engine->stats().kv_bytes_used, 0U);
}

TEST(NativeEngine, BackgroundTakesNoInteractivePlace) {
  World world;
  world.options.limits.max_running = 1;
  world.options.limits.max_waiting = 2;
  world.wishes->held = true;
  auto engine = Make(world);
  GenerateRequest late = RandomRequest(7);
  late.priority = Priority::kBackground;
  std::vector<Collector> out(7);
  std::vector<Generation> generations;
  for (size_t i = 0; i < 3; ++i) generations.push_back(engine->Submit(late, out[i].Sink()).value());
  EXPECT_EQ(engine->Submit(late, out[6].Sink()).error().code(), Code::kExhausted);
  for (size_t i = 3; i < 6; ++i) generations.push_back(engine->Submit(RandomRequest(7), out[i].Sink()).value());
  EXPECT_EQ(engine->Submit(RandomRequest(7), out[6].Sink()).error().code(), Code::kExhausted);
  world.wishes->held = false;
  for (size_t i = 0; i < 6; ++i) {
    ASSERT_TRUE(out[i].WaitFinished());
    ExpectMatches(out[i], RandomRequest(7), engine->info().context_length);
  }
}

TEST(NativeEngine, DestructionEndsWhatRuns) {
  World world;
  world.wishes->per_step = milliseconds(1);
  std::vector<Collector> out(20);
  std::vector<Generation> generations;
  {
    auto engine = Make(world);
    for (size_t i = 0; i < out.size(); ++i) {
      GenerateRequest request = RandomRequest(static_cast<unsigned>(i));
      request.max_tokens = 3000;
      request.stop_tokens.clear();
      generations.push_back(engine->Submit(request, out[i].Sink()).value());
    }
  }
  for (auto& collector : out) {
    ASSERT_TRUE(collector.finished());
    EXPECT_EQ(collector.finished()->reason, FinishReason::kCancelled);
  }
}

TEST(NativeEngine, ManyThreadsSubmitAndCancel) {
  World world;
  world.options.n_threads = 2;
  world.options.limits.max_waiting = 10000;
  world.n_pages = 200;
  auto engine = Make(world);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 25; ++i) {
        const GenerateRequest request = RandomRequest(t * 1000 + i, 100, 30);
        Collector out;
        auto generation = engine->Submit(request, out.Sink());
        ASSERT_TRUE(generation);
        if (i % 3 == 0) {
          generation->Cancel();
        } else if (i % 3 == 1) {
          generation->Reset();
        } else {
          ASSERT_TRUE(out.WaitFinished());
          ExpectMatches(out, request, engine->info().context_length);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(NativeEngine, OptionsOutOfRangeAreNamed) {
  const auto refused = [](const NativeOptions& options) {
    World world;
    NativeParts parts;
    parts.model = std::make_unique<FakeModel>(kVocab, 100, world.wishes);
    parts.pool = std::make_unique<FakePool>(1);
    auto engine = CreateNativeEngine(std::move(parts), options);
    return engine ? std::string("accepted") : engine.error().ToString();
  };
  EXPECT_EQ(refused({.n_threads = -1}), "invalid_argument: threads is -1, must be 0 to 4096");
  EXPECT_EQ(refused({.vocab_size = 98}),
            "invalid_argument: vocab_size is 98, must be 0 to 97, the rows of the embedding");
  EXPECT_EQ(refused({.prefill_tokens = 0}), "invalid_argument: prefill_tokens is 0, must be 1 or more");
}

}  // namespace
}  // namespace quern::engine
