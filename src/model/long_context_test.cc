// Long prompts against a plain computation, for every architecture, at positions far into what YaRN opens. 65,536
// tokens here; `make long-context` goes to 1,048,576 by QUERN_LONG_CONTEXT (attention's work grows with the square).
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <random>

#include "model/golden_case.h"
#include "model/plain_model.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

int ContextTokens() {
  const char* text = std::getenv("QUERN_LONG_CONTEXT");
  return text != nullptr ? std::clamp(std::atoi(text), 1024, 1 << 20) : 1 << 16;
}

size_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

class LongContext : public testing::TestWithParam<Architecture> {
 protected:
  LongContext() : folder_(fs::temp_directory_path() / fmt::format("quern_long_context_{}", ::getpid())) {}
  ~LongContext() override { fs::remove_all(folder_); }

  fs::path folder_;
};

TEST_P(LongContext, LogitsEqualThePlainComputation) {
  const int n = ContextTokens();
  const TinyCheckpoint tiny = TinyCheckpoint::Make(GetParam(), 7);
  tiny.Write(folder_);
  std::mt19937 rng(11);
  std::vector<TokenId> tokens(static_cast<size_t>(n));
  for (TokenId& token : tokens) token = static_cast<TokenId>(rng() % 64);

  std::vector<int> positions = {0, 1, 255, 256, n / 4 - 1, n / 2, n / 2 + 777, n - 257, n - 2, n - 1};
  const size_t peak_before = PeakBytes();
  Runner runner(folder_, ThreadPool::AvailableThreads(), n / kKvPageTokens);
  ASSERT_GE(runner.model().config().context_length, n);
  const auto sequence = runner.NewSequence();
  std::vector<std::vector<float>> seen;
  const auto start = std::chrono::steady_clock::now();
  // Pieces end where logits are wanted, and after 512 tokens at most.
  for (int at = 0; at < n;) {
    const int next = *std::ranges::lower_bound(positions, at);
    const int size = std::min(next + 1 - at, 512);
    const bool wanted = at + size == next + 1;
    const ForwardResult result =
        runner.Run(*sequence, std::span(tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(size)),
                   wanted ? LogitsFor::kLast : LogitsFor::kNone);
    if (wanted) seen.emplace_back(result.logits.begin(), result.logits.end());
    at += size;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const size_t grown = PeakBytes() - peak_before;
  fmt::print("{}: {} tokens in {:.1f} s; keys and values {:.1f} MiB, memory grew by {:.1f} MiB\n",
             ArchitectureName(GetParam()), n, took.count(), static_cast<double>(runner.kv().bytes_used()) / 1048576,
             static_cast<double>(grown) / 1048576);
  EXPECT_LT(grown, runner.kv().bytes_used() + (size_t{64} << 20)) << "beyond the pages";

  const auto expected = PlainModel(tiny).Logits(tokens, positions);
  ASSERT_EQ(seen.size(), expected.size());
  for (size_t i = 0; i < seen.size(); ++i) {
    for (size_t v = 0; v < expected[i].size(); ++v) {
      // Logits are of order one; what is left is the rounding of f32 sums, over up to a million tokens.
      ASSERT_NEAR(seen[i][v], expected[i][v], 5e-4) << "position " << positions[i] << " token " << v;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryArchitecture, LongContext,
                         testing::Values(Architecture::kQwen2, Architecture::kQwen3, Architecture::kQwen3Moe,
                                         Architecture::kQwen3Next),
                         [](const auto& info) { return std::string(ArchitectureName(info.param)); });

}  // namespace
}  // namespace quern::model
