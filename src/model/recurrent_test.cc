// Recurrent state as a part of a sequence: snapshots, restoring, forks, what is refused, and its bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "model/delta_net_state.h"
#include "model/golden_case.h"

namespace quern::model {
namespace {

constexpr int kPrompt = 300;  // longer than four of the reference's chunks of 64, and nine pages
constexpr int kContinuation = 3;
#ifdef __SANITIZE_THREAD__
constexpr int kEvery = 25;  // each position takes seconds there, and no race knows which one it is
#else
constexpr int kEvery = 1;
#endif

class Recurrent : public testing::TestWithParam<std::pair<std::string, std::string>> {
 protected:
  Recurrent() : isa_(GetParam().second), runner_(GoldenFolder() / GetParam().first / "f32", 1, 64) {
    std::mt19937 rng(7);
    std::uniform_int_distribution<TokenId> token(0, runner_.model().config().vocab - 1);
    for (int i = 0; i < kPrompt; ++i) prompt_.push_back(token(rng));
    for (int i = 0; i < kContinuation; ++i) other_.push_back(token(rng));
  }

  std::span<const TokenId> Prompt(int first, int n) const {
    return std::span(prompt_).subspan(static_cast<size_t>(first), static_cast<size_t>(n));
  }

  std::vector<float> LogitsOf(SequenceState& sequence, std::span<const TokenId> tokens) {
    const ForwardResult result = runner_.Run(sequence, tokens, LogitsFor::kAll);
    return {result.logits.begin(), result.logits.end()};
  }

  // What a sequence that never saw anything else gives.
  std::vector<float> Fresh(int n_prompt) {
    const auto sequence = runner_.NewSequence();
    if (n_prompt > 0) runner_.Run(*sequence, Prompt(0, n_prompt), LogitsFor::kNone);
    return LogitsOf(*sequence, other_);
  }

  static void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b, const std::string& what) {
    ASSERT_EQ(a.size(), b.size()) << what;
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << what;
  }

  bool HasState() { return runner_.kv().state_bytes_per_sequence() > 0; }

 private:
  const ScopedIsa isa_;

 protected:
  Runner runner_;
  std::vector<TokenId> prompt_, other_;
};

TEST_P(Recurrent, ASnapshotAtEveryPositionContinuesBitForBit) {
  const auto sequence = runner_.NewSequence();
  std::vector<std::unique_ptr<StateSnapshot>> snapshots;
  for (int at = 0;; ++at) {
    auto snapshot = sequence->Snapshot();
    ASSERT_TRUE(snapshot.has_value()) << snapshot.error().ToString();
    EXPECT_EQ((*snapshot)->n_tokens(), at);
    EXPECT_EQ((*snapshot)->bytes(), at > 0 ? runner_.kv().state_bytes_per_sequence() : 0U);
    snapshots.push_back(*std::move(snapshot));
    if (at == kPrompt) break;
    runner_.Run(*sequence, Prompt(at, 1), LogitsFor::kNone);
  }
  const auto whole = runner_.NewSequence();
  const std::vector<float> expected = LogitsOf(*whole, prompt_);
  const auto vocab = static_cast<size_t>(runner_.model().config().vocab);
  // From the end on, because going back forgets what stands behind.
  for (int at = kPrompt; at >= 0; at -= kEvery) {
    const StateSnapshot& snapshot = *snapshots[static_cast<size_t>(at)];
    ASSERT_TRUE(sequence->Restore(snapshot).has_value());
    ASSERT_EQ(sequence->n_tokens(), at);
    const std::vector<float> elsewhere = LogitsOf(*sequence, other_);
    if (at % 50 == 0) ExpectSameBits(elsewhere, Fresh(at), "position " + std::to_string(at));
    ASSERT_TRUE(sequence->Restore(snapshot).has_value());
    ExpectSameBits(LogitsOf(*sequence, other_), elsewhere, "once more at " + std::to_string(at));
    const int n = std::min(kPrompt - at, 8);
    if (n == 0) continue;
    ASSERT_TRUE(sequence->Restore(snapshot).has_value());
    const auto row = expected.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(at) * vocab);
    ExpectSameBits(LogitsOf(*sequence, Prompt(at, n)),
                   {row, row + static_cast<ptrdiff_t>(static_cast<size_t>(n) * vocab)},
                   "the prompt itself from " + std::to_string(at));
  }
}

TEST_P(Recurrent, ASnapshotIsRefusedOnceItsTokensAreForgotten) {
  const auto sequence = runner_.NewSequence();
  runner_.Run(*sequence, Prompt(0, 10), LogitsFor::kNone);
  const auto early = *sequence->Snapshot();
  runner_.Run(*sequence, Prompt(10, 30), LogitsFor::kNone);
  const auto late = *sequence->Snapshot();
  ASSERT_TRUE(sequence->Restore(*early).has_value());
  EXPECT_EQ(sequence->Restore(*late).error().code(), Code::kInvalidArgument);
  runner_.Run(*sequence, Prompt(50, 60), LogitsFor::kNone);  // as long as before, of other tokens
  EXPECT_EQ(sequence->Restore(*late).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(sequence->n_tokens(), 70);
  const auto newer = *sequence->Snapshot();
  EXPECT_TRUE(sequence->Restore(*newer).has_value());
  EXPECT_TRUE(sequence->Restore(*early).has_value());
  ExpectSameBits(LogitsOf(*sequence, other_), Fresh(10), "after all that");
  const auto stranger = runner_.NewSequence();
  runner_.Run(*stranger, Prompt(0, 20), LogitsFor::kNone);
  EXPECT_EQ(stranger->Restore(*early).error().code(), Code::kInvalidArgument);
}

TEST_P(Recurrent, AForkGoesItsOwnWay) {
  const auto sequence = runner_.NewSequence();
  runner_.Run(*sequence, Prompt(0, 45), LogitsFor::kNone);
  auto fork = sequence->Fork();
  ASSERT_TRUE(fork.has_value()) << fork.error().ToString();
  EXPECT_EQ((*fork)->n_tokens(), 45);
  runner_.Run(**fork, Prompt(60, 40), LogitsFor::kNone);
  ExpectSameBits(LogitsOf(*sequence, other_), Fresh(45), "the first, after its fork went on");
  const auto again = *sequence->Fork();
  EXPECT_EQ(again->n_tokens(), 45 + kContinuation);
}

TEST_P(Recurrent, TruncateStartsAnewOrStaysWhereItIs) {
  const auto sequence = runner_.NewSequence();
  runner_.Run(*sequence, Prompt(0, 45), LogitsFor::kNone);
  ASSERT_TRUE(sequence->Truncate(45).has_value());
  ExpectSameBits(LogitsOf(*sequence, other_), Fresh(45), "stayed");
  EXPECT_EQ(sequence->Truncate(20).has_value(), !HasState());
  ASSERT_TRUE(sequence->Truncate(0).has_value());
  ExpectSameBits(LogitsOf(*sequence, other_), Fresh(0), "anew");
}

TEST_P(Recurrent, EveryByteOfStateIsCounted) {
  const auto bytes = static_cast<size_t>(runner_.model().config().StateBytesPerSequence());
  KvPool& pool = runner_.kv();
  EXPECT_EQ(pool.state_bytes_per_sequence(), bytes);
  {
    const auto sequence = runner_.NewSequence();
    EXPECT_EQ(pool.state_bytes_used(), 0U);
    ASSERT_TRUE(sequence->Reserve(1).has_value());
    EXPECT_EQ(pool.state_bytes_used(), bytes);
    const auto snapshot = *sequence->Snapshot();
    EXPECT_EQ(pool.state_bytes_used(), 2 * bytes);
    const auto fork = *sequence->Fork();
    EXPECT_EQ(pool.state_bytes_used(), 3 * bytes);
  }
  EXPECT_EQ(pool.state_bytes_used(), 0U);
}

TEST_P(Recurrent, AForwardThatThrowsLeavesASequenceThatSaysSo) {
  const auto sequence = runner_.NewSequence();
  runner_.Run(*sequence, Prompt(0, 10), LogitsFor::kNone);
  const auto before = *sequence->Snapshot();
  const LayerObserver breaks = [](int layer, std::span<const float>, int) {
    if (layer == 2) throw std::bad_alloc();
  };
  EXPECT_THROW(runner_.Run(*sequence, Prompt(10, 5), LogitsFor::kNone, &breaks), std::bad_alloc);
  EXPECT_EQ(sequence->CanContinue(), !HasState());
  const Segment segment{.sequence = sequence.get(), .tokens = other_};
  const auto activations = Activations::Create();
  ThreadPool threads(1);
  if (HasState()) {
    EXPECT_EQ(runner_.model().Forward(std::span(&segment, 1), *activations, threads).error().code(),
              Code::kInvalidArgument);
    EXPECT_EQ(sequence->Snapshot().error().code(), Code::kInvalidArgument);
    EXPECT_EQ(sequence->Fork().error().code(), Code::kInvalidArgument);
  }
  ASSERT_TRUE(sequence->Restore(*before).has_value());
  ExpectSameBits(LogitsOf(*sequence, other_), Fresh(10), "restored");
}

INSTANTIATE_TEST_SUITE_P(All, Recurrent,
                         testing::ValuesIn(OnTheirIsas({"qwen3_next_untied", "qwen3_next_tied", "qwen3_moe_untied"})),
                         [](const auto& info) { return info.param.first + "_" + info.param.second; });

TEST(DeltaNetState, PartsFillItWithoutOverlap) {
  const ModelConfig config{
      .n_linear_key_heads = 2, .n_linear_value_heads = 6, .linear_key_dim = 8, .linear_value_dim = 12, .conv_width = 4};
  std::vector<float> floats(static_cast<size_t>(DeltaNetState::FloatsOf(config)), 0.0F);
  const DeltaNetState state(config, floats.data());
  const auto mark = [&](float* part, int64_t n) {
    ASSERT_GE(part, floats.data());
    ASSERT_LE(part + n, floats.data() + floats.size());
    for (int64_t i = 0; i < n; ++i) part[i] += 1;
  };
  for (int head = 0; head < 6; ++head) {
    mark(state.matrix(head), 8 * 12);
    mark(state.changes(head), kernels::kDeltaChunk * 12);
    mark(state.decays(head), kernels::kDeltaChunk);
  }
  for (int head = 0; head < 2; ++head) {
    for (int slot = 0; slot < kernels::kDeltaChunk; ++slot) mark(state.key(head, slot), 8);
  }
  mark(state.history(), 3 * config.ConvChannels());
  EXPECT_EQ(floats, std::vector<float>(floats.size(), 1.0F));
  EXPECT_EQ(DeltaNetState::FloatsOf(ModelConfig{}), 0);
}

}  // namespace
}  // namespace quern::model
