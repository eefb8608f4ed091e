// A row's result depends on its sequence alone: bit for bit the same however the prompt is cut, whatever else is in the
// batch, however many threads run, on every level of kernels and for every golden checkpoint.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <random>
#include <ranges>

#include "model/golden_case.h"

namespace quern::model {
namespace {

using Logits = std::vector<float>;  // [n_rows, vocab]

std::vector<TokenId> RandomPrompt(std::mt19937& rng, int vocab, int n) {
  std::uniform_int_distribution<TokenId> token(0, vocab - 1);
  std::vector<TokenId> out(static_cast<size_t>(n));
  for (TokenId& id : out) id = token(rng);
  return out;
}

Logits Copy(const ForwardResult& result) { return {result.logits.begin(), result.logits.end()}; }

void ExpectSameBits(const Logits& a, const Logits& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << what;
}

// All logits of a prompt run in pieces of the given sizes (the last size repeats).
Logits RunInPieces(Runner& runner, std::span<const TokenId> prompt, const std::vector<int>& sizes) {
  const auto sequence = runner.NewSequence();
  Logits out;
  for (size_t at = 0, piece = 0; at < prompt.size(); ++piece) {
    const auto n = std::min(prompt.size() - at, static_cast<size_t>(sizes[std::min(piece, sizes.size() - 1)]));
    const Logits part = Copy(runner.Run(*sequence, prompt.subspan(at, n), LogitsFor::kAll));
    out.insert(out.end(), part.begin(), part.end());
    at += n;
  }
  EXPECT_EQ(sequence->n_tokens(), static_cast<int>(prompt.size()));
  return out;
}

// Every golden checkpoint in every type it is stored in, and the GGUF files of the block types.
std::vector<std::string> Checkpoints() {
  std::vector<std::string> out;
  for (const std::string& name : GoldenCaseNames()) {
    const GoldenCase golden(name);
    if (golden.has_f32()) out.push_back((golden.folder() / "f32").string());
    out.push_back(golden.published().string());
  }
  for (const char* name : {"qwen3_f16", "qwen3moe_q8_0", "qwen3moe_q4_0", "qwen2_q4_k", "qwen3moe_q5_k", "qwen3_q6_k",
                           "qwen3next_q8_0", "qwen3next_q4_k"}) {
    out.push_back((GgufFolder() / name).string() + ".gguf");
  }
  return out;
}

std::string TestName(const std::pair<std::string, std::string>& param) {
  std::string name;
  for (const char c : param.first.substr(std::string("tests/golden/").size())) {
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  }
  return name + "_" + param.second;
}

class Batch : public testing::TestWithParam<std::pair<std::string, std::string>> {
 protected:
  Batch() : checkpoint_(GetParam().first), isa_(GetParam().second) {}

  // The vocabulary of 151,936 makes long prompts with all logits slow.
  int PromptLength(const Runner& runner) const { return runner.model().config().vocab > 1000 ? 40 : 150; }

  const std::filesystem::path checkpoint_;

 private:
  const ScopedIsa isa_;
};

TEST_P(Batch, HowAPromptIsCutChangesNoBit) {
  Runner runner(checkpoint_);
  std::mt19937 rng(1);
  const int n = PromptLength(runner);
  const std::vector<TokenId> prompt = RandomPrompt(rng, runner.model().config().vocab, n);
  const Logits whole = RunInPieces(runner, prompt, {n});
  ExpectSameBits(RunInPieces(runner, prompt, {1}), whole, "one by one");
  ExpectSameBits(RunInPieces(runner, prompt, {32}), whole, "whole pages");
  for (int round = 0; round < 6; ++round) {
    std::vector<int> sizes;
    std::uniform_int_distribution<int> size(1, 1 + n / 3);
    for (int i = 0; i < 64; ++i) sizes.push_back(size(rng));
    ExpectSameBits(RunInPieces(runner, prompt, sizes), whole, "random pieces");
  }
}

TEST_P(Batch, NeighboursInTheBatchChangeNoBit) {
  constexpr int kSequences = 8;
  Runner runner(checkpoint_);
  const int vocab = runner.model().config().vocab;
  std::mt19937 rng(2);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<Logits> alone;
  for (int s = 0; s < kSequences; ++s) {
    prompts.push_back(RandomPrompt(rng, vocab, 3 + static_cast<int>(rng() % 60)));
    alone.push_back(RunInPieces(runner, prompts.back(), {static_cast<int>(prompts.back().size())}));
  }
  // Together: every step takes a random number of tokens of a random choice of sequences.
  std::vector<std::unique_ptr<SequenceState>> sequences;
  for (int s = 0; s < kSequences; ++s) sequences.push_back(runner.NewSequence());
  std::vector<Logits> together(kSequences);
  while (true) {
    std::vector<Segment> segments;
    std::vector<size_t> who;
    for (size_t s = 0; s < kSequences; ++s) {
      const auto at = static_cast<size_t>(sequences[s]->n_tokens());
      if (at == prompts[s].size() || rng() % 4 == 0) continue;
      const size_t n = std::min<size_t>(prompts[s].size() - at, 1 + rng() % 20);
      segments.push_back({sequences[s].get(), std::span(prompts[s]).subspan(at, n), LogitsFor::kAll});
      who.push_back(s);
    }
    if (segments.empty()) {
      const bool done = std::ranges::all_of(std::views::iota(size_t{0}, size_t{kSequences}), [&](size_t s) {
        return sequences[s]->n_tokens() == static_cast<int>(prompts[s].size());
      });
      if (done) break;
      continue;
    }
    const ForwardResult result = runner.Run(segments);
    const float* row = result.logits.data();
    for (size_t i = 0; i < segments.size(); ++i) {
      const size_t n = segments[i].tokens.size() * static_cast<size_t>(vocab);
      together[who[i]].insert(together[who[i]].end(), row, row + n);
      row += n;
    }
  }
  for (size_t s = 0; s < kSequences; ++s) ExpectSameBits(together[s], alone[s], "sequence " + std::to_string(s));
}

TEST_P(Batch, TheNumberOfThreadsChangesNoBit) {
  std::mt19937 rng(3);
  Logits one;
  for (int n_threads = 1; n_threads <= 4; ++n_threads) {
    Runner runner(checkpoint_, n_threads);
    rng.seed(3);
    const std::vector<TokenId> prompt = RandomPrompt(rng, runner.model().config().vocab, PromptLength(runner));
    const Logits logits = RunInPieces(runner, prompt, {PromptLength(runner) - 10, 1});
    if (n_threads == 1) one = logits;
    ExpectSameBits(logits, one, std::to_string(n_threads) + " threads");
  }
}

TEST_P(Batch, RowsWithoutLogitsChangeNoBit) {
  Runner runner(checkpoint_);
  std::mt19937 rng(4);
  const std::vector<TokenId> a = RandomPrompt(rng, runner.model().config().vocab, 20);
  const std::vector<TokenId> b = RandomPrompt(rng, runner.model().config().vocab, 7);
  const auto vocab = static_cast<ptrdiff_t>(runner.model().config().vocab);
  const Logits all_a = RunInPieces(runner, a, {20});
  const Logits all_b = RunInPieces(runner, b, {7});
  const auto first = runner.NewSequence();
  const auto second = runner.NewSequence();
  const auto third = runner.NewSequence();
  const std::vector<Segment> segments{
      {first.get(), a, LogitsFor::kLast}, {second.get(), b, LogitsFor::kNone}, {third.get(), b, LogitsFor::kAll}};
  const ForwardResult result = runner.Run(segments);
  ASSERT_EQ(result.n_rows, 1 + 7);
  const Logits seen = Copy(result);
  ExpectSameBits({seen.begin(), seen.begin() + vocab}, {all_a.end() - vocab, all_a.end()}, "last row");
  ExpectSameBits({seen.begin() + vocab, seen.end()}, all_b, "all rows");
}

TEST_P(Batch, ATruncatedSequenceGoesOnAsIfTheRestHadNeverBeen) {
  Runner runner(checkpoint_);
  std::mt19937 rng(5);
  const int vocab = runner.model().config().vocab;
  const std::vector<TokenId> prompt = RandomPrompt(rng, vocab, 70);
  const std::vector<TokenId> other = RandomPrompt(rng, vocab, 40);
  for (const int keep : {0, 1, 31, 32, 33, 64}) {
    std::vector<TokenId> wanted(prompt.begin(), prompt.begin() + keep);
    wanted.insert(wanted.end(), other.begin(), other.end());
    const auto fresh = runner.NewSequence();
    const Logits expected = Copy(runner.Run(*fresh, wanted, LogitsFor::kLast));
    const auto sequence = runner.NewSequence();
    runner.Run(*sequence, prompt, LogitsFor::kNone);
    if (keep > 0 && runner.kv().state_bytes_per_sequence() > 0) {
      const auto cut = sequence->Truncate(keep);
      ASSERT_FALSE(cut.has_value());
      EXPECT_EQ(cut.error().code(), Code::kUnsupported);
      EXPECT_EQ(sequence->n_tokens(), 70);
      continue;
    }
    ASSERT_TRUE(sequence->Truncate(keep).has_value());
    ExpectSameBits(Copy(runner.Run(*sequence, other, LogitsFor::kLast)), expected, "keep " + std::to_string(keep));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Batch, testing::ValuesIn(OnTheirIsas(Checkpoints())),
                         [](const auto& info) { return TestName(info.param); });

TEST(KvTypesOfAModel, HowAPromptIsCutChangesNoBitInAnyType) {
  using enum kernels::KvType;
  const std::vector<kernels::KvTypes> kTypes = {{kF32, kF32}, {kI16, kI16}, {kF16, kF16}, {kBF16, kBF16}, {kQ8, kQ8},
                                                {kQ4, kQ4},   {kQ8, kQ4},   {kI16, kQ8},  {kQ8, kI16}};
  std::vector<Logits> seen;
  for (const kernels::KvTypes types : kTypes) {
    Runner runner(GoldenFolder() / "qwen3_next_untied" / "bf16", 1, 256, types);
    std::mt19937 rng(3);
    const int n = 300;  // more than a chunk of attention
    const std::vector<TokenId> prompt = RandomPrompt(rng, runner.model().config().vocab, n);
    const Logits whole = RunInPieces(runner, prompt, {n});
    ExpectSameBits(RunInPieces(runner, prompt, {1}), whole, "one by one");
    ExpectSameBits(RunInPieces(runner, prompt, {7, 90, 31, 140}), whole, "pieces");
    Runner threads(GoldenFolder() / "qwen3_next_untied" / "bf16", 3, 256, types);
    ExpectSameBits(RunInPieces(threads, prompt, {200, 1}), whole, "three threads");
    for (const Logits& other : seen) EXPECT_NE(other, whole) << "a type that is not used";
    seen.push_back(whole);
  }
}

}  // namespace
}  // namespace quern::model
