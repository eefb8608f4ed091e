// Grammars in the engines: what is sampled fits, alone and together, and what breaks ends with an error.
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "engine/collector.h"
#include "engine/fake_model.h"
#include "engine/fake_tokenizer.h"
#include "engine/native_engine.h"
#include "engine/sampler.h"
#include "engine/scripted_backend.h"
#include "engine/token_mask.h"
#include "grammar/grammar_compiler.h"

namespace quern::engine {
namespace {

constexpr int kVocab = 258;

std::shared_ptr<const grammar::Grammar> Regex(const char* regex) {
  static const auto compiler = grammar::GrammarCompiler::Create(std::make_shared<FakeTokenizer>());
  return compiler->Compile({grammar::GrammarKind::kRegex, regex}).value();
}

// Lets everything through until its tokens are used up; then ComputeMask, Accept or Start fails.
class BreakingGrammar final : public grammar::Grammar {
 public:
  enum class Where { kStart, kMask, kAccept, kNothing };
  BreakingGrammar(Where where, int after) : where_(where), after_(after) {}

  Result<std::unique_ptr<grammar::TokenConstraint>> Start() const override {
    if (where_ == Where::kStart) return Broken();
    return std::make_unique<Constraint>(where_, after_);
  }
  Result<std::shared_ptr<const grammar::Grammar>> After(std::span<const int32_t>) const override { return Broken(); }

 private:
  static std::unexpected<Status> Broken() { return Error(Code::kExhausted, "the grammar took too long"); }

  class Constraint final : public grammar::TokenConstraint {
   public:
    Constraint(Where where, int after) : where_(where), after_(after) {}
    Result<bool> ComputeMask(std::span<uint32_t> mask) override {
      const bool now = n_ >= after_;
      if (now && where_ == Where::kMask) return Broken();
      std::fill(mask.begin(), mask.end(), now && where_ == Where::kNothing ? 0U : ~0U);
      return false;
    }
    Result<void> Accept(int32_t) override {
      if (n_++ >= after_ && where_ == Where::kAccept) return Broken();
      return {};
    }

   private:
    const Where where_;
    const int after_;
    int n_ = 0;
  };

  Where where_;
  int after_;
};

std::unique_ptr<Backend> Native(int n_threads = 1, int n_pages = 512) {
  NativeParts parts;
  parts.model = std::make_unique<FakeModel>(kVocab, 4096, std::make_shared<FakeWishes>());
  parts.pool = std::make_unique<FakePool>(n_pages);
  parts.activations = std::make_unique<FakeActivations>();
  parts.make_sequence = [](model::KvPool& pool) {
    return std::make_unique<FakeSequence>(static_cast<FakePool&>(pool));
  };
  return CreateNativeEngine(std::move(parts), {.n_threads = n_threads}).value();
}

std::unique_ptr<Backend> Scripted(const char* rule) {
  return ScriptedBackend::Create(std::string(R"({"rules":[)") + rule + "]}", std::make_shared<FakeTokenizer>()).value();
}

GenerateRequest Request(std::shared_ptr<const grammar::Grammar> grammar, int max_tokens = 200, uint64_t seed = 1) {
  GenerateRequest request;
  request.prompt = {1, 2, static_cast<TokenId>(3 + seed % 50)};
  request.max_tokens = max_tokens;
  request.sampling = {.temperature = 1, .seed = seed};
  request.stop_tokens = {FakeTokenizer::kImEnd, FakeTokenizer::kEndOfText};
  request.grammar = std::move(grammar);
  return request;
}

struct Answer {
  std::string text;
  FinishedEvent finished;
  std::vector<TokenEvent> tokens;
};

Answer Generate(Backend& backend, const GenerateRequest& request) {
  Collector collector;
  auto generation = backend.Submit(request, collector.Sink());
  if (!generation) return {"", {FinishReason::kError, 0, 0, 0, generation.error()}, {}};
  EXPECT_TRUE(collector.WaitFinished());
  generation->Reset();
  EXPECT_EQ(collector.n_wrong(), 0);
  return {FakeTokenizer().DecodeBytes(collector.ids(), true), *collector.finished(), collector.tokens()};
}

TEST(ConstrainedNative, TheTextFitsAndAStopTokenEndsIt) {
  const auto engine = Native();
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const Answer answer = Generate(*engine, Request(Regex("[ab]{3}-[0-9]{2,5}"), 200, seed));
    EXPECT_EQ(answer.finished.reason, FinishReason::kStopToken) << answer.finished.error.ToString();
    ASSERT_GE(answer.text.size(), 6U);
    EXPECT_EQ(answer.text.substr(0, 4).find_first_not_of("ab"), 3U) << answer.text;
    EXPECT_EQ(answer.text.find_first_not_of("0123456789", 4), std::string::npos) << answer.text;
    EXPECT_LE(answer.text.size(), 9U);
    EXPECT_EQ(answer.finished.n_generated, static_cast<int>(answer.text.size()) + 1);
    seen.insert(answer.text);
  }
  EXPECT_GT(seen.size(), 20U);
}

TEST(ConstrainedNative, MaxTokensCutsTheText) {
  const Answer answer = Generate(*Native(), Request(Regex("x{50}"), 20));
  EXPECT_EQ(answer.finished.reason, FinishReason::kLength);
  EXPECT_EQ(answer.text, std::string(20, 'x'));
}

TEST(ConstrainedNative, GreedyAndEveryParameterStayInside) {
  const auto engine = Native();
  for (const SamplingParams& sampling :
       {SamplingParams{.temperature = 0}, SamplingParams{.temperature = 2, .top_k = 3},
        SamplingParams{.temperature = 1, .top_p = 0.1F}, SamplingParams{.temperature = 1, .min_p = 0.9F},
        SamplingParams{.temperature = 0, .repetition_penalty = 100, .presence_penalty = 2, .frequency_penalty = 2},
        SamplingParams{.temperature = 0, .logit_bias = {{'z', 100.0F}, {FakeTokenizer::kImEnd, 100.0F}}}}) {
    GenerateRequest request = Request(Regex("[a-f]{4}"));
    request.sampling = sampling;
    const Answer answer = Generate(*engine, request);
    EXPECT_EQ(answer.finished.reason, FinishReason::kStopToken) << answer.finished.error.ToString();
    EXPECT_EQ(answer.text.size(), 4U);
    EXPECT_EQ(answer.text.find_first_not_of("abcdef"), std::string::npos) << answer.text;
  }
}

TEST(ConstrainedNative, LogprobsAreThoseOfTheFreeModel) {
  const FakeModel model(kVocab, 4096, std::make_shared<FakeWishes>());
  GenerateRequest request = Request(Regex("[a-f]{4}"));
  request.n_logprobs = 3;
  const Answer answer = Generate(*Native(), request);
  ASSERT_EQ(answer.tokens.size(), 5U);
  std::vector<TokenId> tokens = request.prompt;
  for (const TokenEvent& event : answer.tokens) {
    std::vector<TokenLogprob> top;
    EXPECT_EQ(event.logprob, LogprobOf(model.LogitsAfter(tokens), event.token, 3, kVocab, top).value());
    ASSERT_EQ(event.top.size(), 3U);
    EXPECT_EQ(event.top[0].token, top[0].token);
    tokens.push_back(event.token);
  }
}

TEST(ConstrainedNative, SameTokensAloneAndTogetherAndWithFewPages) {
  std::vector<GenerateRequest> requests;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    requests.push_back(Request(seed % 3 == 2 ? nullptr : Regex("([a-z]{2,9} ){20}\\."), 150, seed));
    requests.back().prompt.resize(40 + seed * 9, 5);
  }
  std::vector<std::string> alone;
  for (const auto& request : requests) alone.push_back(Generate(*Native(), request).text);
  for (const auto& [n_threads, n_pages] : {std::pair(1, 512), std::pair(3, 512), std::pair(2, 24)}) {
    const auto engine = Native(n_threads, n_pages);
    std::vector<Collector> collectors(requests.size());
    std::vector<Generation> generations;
    for (size_t i = 0; i < requests.size(); ++i)
      generations.push_back(engine->Submit(requests[i], collectors[i].Sink()).value());
    for (size_t i = 0; i < requests.size(); ++i) {
      ASSERT_TRUE(collectors[i].WaitFinished());
      EXPECT_EQ(FakeTokenizer().DecodeBytes(collectors[i].ids(), true), alone[i]) << i;
    }
    generations.clear();
  }
}

TEST(ConstrainedNative, MinTokensYieldsToACompleteText) {
  GenerateRequest request = Request(Regex("ab*"));
  request.min_tokens = 7;
  const Answer longer = Generate(*Native(), request);
  EXPECT_GE(longer.finished.n_generated, 8);
  request.grammar = Regex("abc");
  const Answer complete = Generate(*Native(), request);
  EXPECT_EQ(complete.text, "abc");
  EXPECT_EQ(complete.finished.reason, FinishReason::kStopToken);
}

// A stop token that is also text of the grammar ends nothing in the middle.
TEST(ConstrainedNative, StopTokensWaitForTheEnd) {
  GenerateRequest request = Request(Regex("a{5}[xy]"));
  request.stop_tokens = {'a', 'x', FakeTokenizer::kImEnd};
  EXPECT_EQ(Generate(*Native(), request).finished.reason, FinishReason::kError) << "'a' is needed and may not come";
  request.grammar = Regex("b{5}[xy]?");
  const Answer answer = Generate(*Native(), request);
  EXPECT_EQ(answer.finished.reason, FinishReason::kStopToken);
  EXPECT_EQ(answer.text.substr(0, 5), "bbbbb");
}

TEST(ConstrainedNative, EveryTokenBannedIsAnError) {
  GenerateRequest request = Request(Regex("ab"));
  request.sampling.logit_bias = {{'b', -100.0F}};
  const Answer answer = Generate(*Native(), request);
  EXPECT_EQ(answer.finished.reason, FinishReason::kError);
  EXPECT_EQ(answer.finished.error.code(), Code::kInvalidArgument);
  EXPECT_NE(answer.finished.error.message().find("grammar"), std::string::npos);
}

TEST(ConstrainedNative, ABrokenGrammarEndsTheGenerationAndNoOther) {
  using Where = BreakingGrammar::Where;
  for (const Where where : {Where::kStart, Where::kMask, Where::kAccept, Where::kNothing}) {
    const auto engine = Native();
    Collector beside;
    auto other = engine->Submit(Request(nullptr, 100), beside.Sink()).value();
    GenerateRequest request = Request(std::make_shared<BreakingGrammar>(where, 3), 100);
    const Answer answer = Generate(*engine, request);
    EXPECT_EQ(answer.finished.reason, FinishReason::kError);
    EXPECT_LE(answer.finished.n_generated, 3);
    const char* words =
        where == Where::kNothing ? "the grammar allows no token and no end" : "the grammar took too long";
    EXPECT_EQ(answer.finished.error.message(), words);
    ASSERT_TRUE(beside.WaitFinished());
    EXPECT_NE(beside.finished()->reason, FinishReason::kError);
    other.Reset();
  }
}

TEST(Constrained, AGrammarNeedsAStopToken) {
  GenerateRequest request = Request(Regex("ab"));
  request.stop_tokens.clear();
  for (const auto& backend : {Native(), Scripted(R"({"text":"ab"})")}) {
    Collector collector;
    const auto refused = backend->Submit(request, collector.Sink());
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
  }
}

TEST(ConstrainedScript, TokensThatDoNotFitArePassedOver) {
  const Answer answer = Generate(*Scripted(R"({"text":"Sure! {12x34} ok"})"), Request(Regex("[0-9]{3}")));
  EXPECT_EQ(answer.text, "123");
  EXPECT_EQ(answer.finished.reason, FinishReason::kStopToken);
}

TEST(ConstrainedScript, AnAnswerThatEndsTooSoonIsAnError) {
  const Answer answer = Generate(*Scripted(R"({"text":"12"})"), Request(Regex("[0-9]{3}")));
  EXPECT_EQ(answer.text, "12");
  EXPECT_EQ(answer.finished.reason, FinishReason::kError);
  const Answer early = Generate(*Scripted(R"({"tokens":[49,"<|im_end|>",50,51]})"), Request(Regex("[0-9]{3}")));
  EXPECT_EQ(early.text, "123") << "a stop token that may not come yet is passed over too";
}

TEST(ConstrainedScript, MaxTokensAndBrokenGrammarsAsInTheNativeEngine) {
  const auto backend = Scripted(R"({"text":"abc", "finish":"length"})");
  const Answer cut = Generate(*backend, Request(Regex("[bc]+"), 7));
  EXPECT_EQ(cut.text, "bcbcbcb");
  EXPECT_EQ(cut.finished.reason, FinishReason::kLength);
  const auto broken = std::make_shared<BreakingGrammar>(BreakingGrammar::Where::kMask, 2);
  EXPECT_EQ(Generate(*backend, Request(broken)).finished.error.message(), "the grammar took too long");
}

TEST(TokenMask, BanOthersLeavesExactlyTheAllowed) {
  for (const size_t n : {1U, 31U, 32U, 33U, 100U}) {
    std::vector<float> logits(n, 1.0F);
    std::vector<uint32_t> mask((n + 31) / 32);
    for (size_t i = 0; i < n; i += 3) mask[i / 32] |= 1U << (i % 32);
    BanOthers(mask, logits);
    for (size_t i = 0; i < n; ++i) EXPECT_EQ(logits[i] == 1.0F, i % 3 == 0) << i;
  }
}

}  // namespace
}  // namespace quern::engine
