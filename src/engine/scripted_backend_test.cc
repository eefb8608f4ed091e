#include "engine/scripted_backend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "engine/collector.h"
#include "engine/fake_tokenizer.h"

namespace quern::engine {
namespace {

using std::chrono::milliseconds;

const std::shared_ptr<const FakeTokenizer> kTokenizer = std::make_shared<FakeTokenizer>();

std::unique_ptr<ScriptedBackend> Make(std::string_view script, const EngineLimits& limits = {}) {
  auto backend = ScriptedBackend::Create(script, kTokenizer, limits);
  if (!backend) ADD_FAILURE() << backend.error().ToString();
  return backend ? std::move(*backend) : nullptr;
}

GenerateRequest Ask(std::string_view prompt, int max_tokens) {
  GenerateRequest request;
  request.prompt = kTokenizer->Encode(prompt);
  request.max_tokens = max_tokens;
  request.stop_tokens = {FakeTokenizer::kImEnd};
  return request;
}

std::string Text(const Collector& collector) { return kTokenizer->DecodeBytes(collector.ids(), false); }

// Runs one request to its end.
void RunOne(Backend& backend, GenerateRequest request, Collector& collector) {
  auto generation = backend.Submit(std::move(request), collector.Sink());
  ASSERT_TRUE(generation) << generation.error().ToString();
  ASSERT_TRUE(collector.WaitFinished());
}

TEST(ScriptedBackend, SendsTheTextThenAStopToken) {
  auto backend = Make(R"({"rules":[{"text":"hello"}]})");
  Collector out;
  RunOne(*backend, Ask("hi", 100), out);
  EXPECT_EQ(Text(out), "hello<|im_end|>");
  EXPECT_EQ(out.finished()->reason, FinishReason::kStopToken);
  EXPECT_EQ(out.finished()->n_generated, 6);
  EXPECT_EQ(out.finished()->n_prompt, 2);
  EXPECT_EQ(out.n_wrong(), 0);
  EXPECT_EQ(backend->info().eos_tokens, (std::vector<TokenId>{256, 257}));
}

TEST(ScriptedBackend, ObeysMaxTokensMinTokensAndStopTokens) {
  auto backend = Make(R"({"rules":[{"match":"long","text":"ab","finish":"length"},{"text":"xyz"}]})");
  Collector cut, none, endless, late, inner;
  RunOne(*backend, Ask("hi", 2), cut);
  EXPECT_EQ(Text(cut), "xy");
  EXPECT_EQ(cut.finished()->reason, FinishReason::kLength);
  RunOne(*backend, Ask("hi", 0), none);
  EXPECT_EQ(Text(none), "");
  EXPECT_EQ(none.finished()->reason, FinishReason::kLength);
  RunOne(*backend, Ask("long", 5), endless);
  EXPECT_EQ(Text(endless), "ababa");
  GenerateRequest request = Ask("hi", 10);
  request.min_tokens = 4;
  RunOne(*backend, request, late);
  EXPECT_EQ(Text(late), "xyzxyz<|im_end|>");
  request = Ask("hi", 10);
  request.stop_tokens = {'y'};
  RunOne(*backend, request, inner);
  EXPECT_EQ(Text(inner), "xy");
  EXPECT_EQ(inner.finished()->reason, FinishReason::kStopToken);
}

TEST(ScriptedBackend, ContextEndIsALengthFinish) {
  auto backend = Make(R"({"context_length":8,"rules":[{"text":"abcdefghij"}]})");
  Collector out;
  RunOne(*backend, Ask("12345", 100), out);
  EXPECT_EQ(Text(out), "abc");
  EXPECT_EQ(out.finished()->reason, FinishReason::kLength);
  auto too_long = backend->Submit(Ask("123456789", 1), out.Sink());
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code(), Code::kInvalidArgument);
  EXPECT_NE(too_long.error().message().find("n_prompt=9, n_ctx=8, n_over=2"), std::string::npos)
      << too_long.error().message();
}

TEST(ScriptedBackend, MatchesBySubstringInOrderAndCountsUses) {
  auto backend = Make(R"({"rules":[{"match":["red","blue"],"text":"both"},{"match":"red","text":"once","times":1},
                          {"match":"red","text":"again"}]})");
  Collector a, b, c;
  RunOne(*backend, Ask("blue red", 3), a);
  RunOne(*backend, Ask("a red", 3), b);
  RunOne(*backend, Ask("a red", 3), c);
  EXPECT_EQ(Text(a), "bot");
  EXPECT_EQ(Text(b), "onc");
  EXPECT_EQ(Text(c), "aga");
  Collector none;
  auto refused = backend->Submit(Ask("green", 3), none.Sink());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kNotFound);
}

TEST(ScriptedBackend, RoundRobinGoesByOrderOfSubmission) {
  auto backend = Make(R"({"order":"round_robin","rules":[{"text":"a"},{"text":"b"}]})");
  std::string seen;
  for (int i = 0; i < 4; ++i) {
    Collector out;
    RunOne(*backend, Ask("x", 1), out);
    seen += Text(out);
  }
  EXPECT_EQ(seen, "abab");
}

TEST(ScriptedBackend, FaultsHappenAtTheirToken) {
  auto backend = Make(R"({"rules":[{"match":"e","text":"abc","fault":{"kind":"error","at":2,"message":"boom"}},
    {"match":"d","text":"abc","fault":{"kind":"drop","at":1}},{"match":"h","text":"abc","fault":{"kind":"hang","at":1}},
    {"match":"r","fault":{"kind":"refuse","code":"unavailable","message":"later"}}]})");
  Collector error, drop, hang, late, refused;
  RunOne(*backend, Ask("e", 9), error);
  EXPECT_EQ(Text(error), "ab");
  EXPECT_EQ(error.finished()->error.ToString(), "internal: boom");
  RunOne(*backend, Ask("d", 9), drop);
  EXPECT_EQ(Text(drop), "a");
  EXPECT_EQ(drop.finished()->error.code(), Code::kUnavailable);
  {
    auto generation = backend->Submit(Ask("h", 9), hang.Sink());
    ASSERT_TRUE(hang.WaitTokens(1));
    EXPECT_FALSE(hang.WaitFinished(milliseconds(30)));
    generation->Cancel();
    ASSERT_TRUE(hang.WaitFinished());
    EXPECT_EQ(hang.finished()->reason, FinishReason::kCancelled);
  }
  GenerateRequest request = Ask("h", 9);
  request.time_limit = milliseconds(20);
  RunOne(*backend, request, late);
  EXPECT_EQ(late.finished()->error.code(), Code::kDeadline);
  auto no = backend->Submit(Ask("r", 9), refused.Sink());
  ASSERT_FALSE(no);
  EXPECT_EQ(no.error().ToString(), "unavailable: later");
  EXPECT_EQ(backend->stats().n_failed, 3U);
}

TEST(ScriptedBackend, CancelDuringADelayEndsAtOnce) {
  auto backend = Make(R"({"rules":[{"text":"abc","first_delay_ms":3600000}]})");
  Collector out;
  auto generation = backend->Submit(Ask("x", 9), out.Sink());
  const auto start = std::chrono::steady_clock::now();
  generation->Cancel();
  ASSERT_TRUE(out.WaitFinished());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_EQ(out.finished()->reason, FinishReason::kCancelled);
  EXPECT_EQ(backend->stats().n_cancelled, 1U);
}

TEST(ScriptedBackend, NothingArrivesAfterTheHandleIsGone) {
  auto backend = Make(R"({"rules":[{"text":"ab","finish":"length"}]})");
  for (int i = 0; i < 50; ++i) {
    Collector out;
    auto generation = backend->Submit(Ask("x", 1000000), out.Sink());
    ASSERT_TRUE(out.WaitTokens(1));
    generation->Reset();
    const int n = out.n_events();
    std::this_thread::yield();
    EXPECT_EQ(out.n_events(), n);
  }
}

TEST(ScriptedBackend, DestroyingAHandleFreesWhatTheSinkHeld) {
  auto backend = Make(R"({"rules":[{"text":"a","first_delay_ms":3600000}]})");
  auto held = std::make_shared<int>(1);
  auto generation = backend->Submit(Ask("x", 9), [held](const Event&) {});
  EXPECT_EQ(held.use_count(), 2);
  generation->Reset();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ScriptedBackend, QueueIsBoundedAndDrainRefuses) {
  EngineLimits limits;
  limits.max_running = 1;
  limits.max_waiting = 1;
  auto backend = Make(R"({"rules":[{"text":"a","fault":{"kind":"hang"}}]})", limits);
  Collector a, b, c;
  auto first = backend->Submit(Ask("x", 1), a.Sink());
  auto second = backend->Submit(Ask("x", 1), b.Sink());
  auto third = backend->Submit(Ask("x", 1), c.Sink());
  ASSERT_TRUE(first && second);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code(), Code::kExhausted);
  second->Cancel();  // in the queue
  ASSERT_TRUE(b.WaitFinished());
  backend->Drain();
  auto refused = backend->Submit(Ask("x", 1), c.Sink());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  EXPECT_FALSE(a.finished());
}

TEST(ScriptedBackend, LogprobsAndProgressHaveTheRightShape) {
  auto backend = Make(R"({"rules":[{"text":"ab","prompt_chunks":4,"cached":3}]})");
  GenerateRequest request = Ask("12345678", 2);
  request.n_logprobs = 3;
  request.prompt_logprobs = true;
  Collector out;
  RunOne(*backend, request, out);
  ASSERT_EQ(out.progress().size(), 4U);
  EXPECT_EQ(out.progress()[1].n_done, 4);
  EXPECT_EQ(out.progress()[3].n_done, 8);
  ASSERT_TRUE(out.prompt_logprobs());
  EXPECT_EQ(out.prompt_logprobs()->chosen.size(), 8U);
  EXPECT_EQ(out.prompt_logprobs()->top[0].size(), 0U);
  EXPECT_EQ(out.prompt_logprobs()->top[7].size(), 3U);
  for (const auto& token : out.tokens()) {
    ASSERT_EQ(token.top.size(), 3U);
    EXPECT_EQ(token.top[0].token, token.token);
    EXPECT_GT(token.top[0].logprob, token.top[1].logprob);
    EXPECT_LT(token.logprob, 0);
  }
  EXPECT_EQ(out.finished()->n_cached, 3);
}

TEST(ScriptedBackend, ManyAtOnceEachGetTheirOwn) {
  auto backend = Make(R"({"rules":[{"match":"even","text":"0123456789"},{"text":"abcdefghij","delay_ms":1}]})");
  constexpr int kN = 64;
  std::vector<Collector> out(kN);
  std::vector<Generation> generations;
  for (size_t i = 0; i < kN; ++i) {
    auto generation = backend->Submit(Ask(i % 2 == 0 ? "even" : "odd", 50), out[i].Sink());
    ASSERT_TRUE(generation);
    generations.push_back(std::move(*generation));
  }
  for (size_t i = 0; i < kN; ++i) {
    ASSERT_TRUE(out[i].WaitFinished());
    EXPECT_EQ(Text(out[i]), i % 2 == 0 ? "0123456789<|im_end|>" : "abcdefghij<|im_end|>");
    EXPECT_EQ(out[i].n_wrong(), 0);
  }
  EXPECT_EQ(backend->stats().n_finished, 64U);
  EXPECT_EQ(backend->stats().n_generated_tokens, 64U * 11);
}

TEST(ScriptedBackend, ScriptMistakesAreNamed) {
  const std::pair<const char*, const char*> kCases[] = {
      {"{", "script: file: "},
      {"[]", "top level: expected an object"},
      {"{}", "rules: expected a list"},
      {R"({"rules":[]})", "rules: expected a list"},
      {R"({"rulez":[]})", "unknown key \"rulez\""},
      {R"({"rules":[{"txt":"a"}]})", "rules[0]: unknown key \"txt\""},
      {R"({"rules":[{"text":1}]})", "rules[0].text: expected a string"},
      {R"({"rules":[{"text":"a","tokens":[1]}]})", "both \"text\" and \"tokens\""},
      {R"({"rules":[{"tokens":[1,999]}]})", "rules[0].tokens: entry 1"},
      {R"({"rules":[{"tokens":["<|nope|>"]}]})", "no added token \"<|nope|>\""},
      {R"({"rules":[{"text":"a","delay_ms":-1}]})", "rules[0].delay_ms: expected a whole number"},
      {R"({"rules":[{"text":"a","finish":"x"}]})", "rules[0].finish"},
      {R"({"rules":[{"finish":"length"}]})", "needs at least one token"},
      {R"({"rules":[{"text":"abc","repeat":1000000}]})", "answers with more than"},
      {R"({"rules":[{"text":"a"},{"fault":{"kind":"bad"}}]})", "rules[1].fault.kind"},
      {R"({"rules":[{"fault":{"kind":"error","code":"x"}}]})", "no error code is named \"x\""},
      {R"({"order":"random","rules":[{"text":"a"}]})", "order"},
  };
  for (const auto& [script, expected] : kCases) {
    auto backend = ScriptedBackend::Create(script, kTokenizer);
    ASSERT_FALSE(backend) << script;
    EXPECT_EQ(backend.error().code(), Code::kInvalidArgument);
    EXPECT_NE(backend.error().message().find(expected), std::string::npos) << backend.error().message();
  }
  EXPECT_FALSE(ScriptedBackend::Create(std::string(100000, '['), kTokenizer));
}

TEST(ScriptedBackend, BackgroundWaitsForInteractiveOnes) {
  EngineLimits limits;
  limits.max_running = 1;
  auto backend = ScriptedBackend::Create(R"({"rules":[{"match":"hang","fault":{"kind":"hang"}},
    {"text":"abcdefgh","delay_ms":5}]})",
                                         kTokenizer, limits)
                     .value();
  GenerateRequest slow = Ask("x", 100);
  slow.priority = Priority::kBackground;
  Collector background, first;
  auto running = backend->Submit(slow, background.Sink()).value();
  ASSERT_TRUE(background.WaitTokens(2));
  auto hanging = backend->Submit(Ask("hang", 5), first.Sink()).value();
  while (backend->stats().n_waiting == 0) std::this_thread::sleep_for(milliseconds(1));
  const size_t n_tokens = background.ids().size();
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_LE(background.ids().size(), n_tokens + 1) << "one may have been under way";
  EXPECT_FALSE(background.finished());
  hanging.Cancel();
  ASSERT_TRUE(background.WaitFinished());
  EXPECT_EQ(background.ids().size(), 9U) << "and goes on where it was";
}

TEST(ScriptedBackend, RefusesRequestsOutOfRange) {
  auto backend = Make(R"({"rules":[{"text":"a"}]})");
  const auto refused = [&](auto change, const char* expected) {
    GenerateRequest request = Ask("x", 5);
    change(request);
    Collector out;
    auto generation = backend->Submit(std::move(request), out.Sink());
    ASSERT_FALSE(generation) << expected;
    EXPECT_EQ(generation.error().code(), Code::kInvalidArgument);
    EXPECT_NE(generation.error().message().find(expected), std::string::npos) << generation.error().message();
  };
  refused([](auto& r) { r.prompt.clear(); }, "prompt is empty");
  refused([](auto& r) { r.prompt[0] = 258; }, "prompt[0] is token 258");
  refused([](auto& r) { r.prompt[0] = -1; }, "prompt[0] is token -1");
  refused([](auto& r) { r.max_tokens = -1; }, "max_tokens is -1");
  refused([](auto& r) { r.min_tokens = -1; }, "min_tokens is -1");
  refused([](auto& r) { r.n_logprobs = 21; }, "n_logprobs is 21");
  refused([](auto& r) { r.prompt_logprobs = true; }, "prompt_logprobs needs");
  refused([](auto& r) { r.stop_tokens = {300}; }, "stop token 300");
  refused([](auto& r) { r.stop_tokens.assign(257, 1); }, "257 stop tokens");
  refused([](auto& r) { r.sampling.temperature = -1; }, "temperature is -1");
  refused([](auto& r) { r.sampling.temperature = NAN; }, "temperature is nan");
  refused([](auto& r) { r.sampling.top_p = 0; }, "top_p is 0");
  refused([](auto& r) { r.sampling.top_k = -1; }, "top_k is -1");
  refused([](auto& r) { r.sampling.min_p = 2; }, "min_p is 2");
  refused([](auto& r) { r.sampling.repetition_penalty = 0; }, "repetition_penalty is 0");
  refused([](auto& r) { r.sampling.presence_penalty = NAN; }, "presence_penalty");
  refused([](auto& r) { r.sampling.frequency_penalty = 1e9F; }, "frequency_penalty");
  refused([](auto& r) { r.sampling.logit_bias = {{-5, 1.0F}}; }, "logit_bias names token -5");
  refused([](auto& r) { r.sampling.logit_bias.assign(1025, {1, 1.0F}); }, "1025 entries");
  refused([](auto& r) { r.time_limit = milliseconds(-1); }, "time_limit is -1");
}

}  // namespace
}  // namespace quern::engine
