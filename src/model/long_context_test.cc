// Long prompts against a plain computation, for every architecture, at positions far into what YaRN opens. 65,536
// tokens here; `make long-context` goes to 1,048,576 by QUERN_LONG_CONTEXT.
//
// Every token passes the model and leaves its key and value behind. The models' one layer of attention is their last,
// so it attends for those rows that are asked for (LogitsFor). Up to 65,536 tokens that is every row; beyond, where the
// work would grow with the square of the length, whole pieces of the prompt around the compared positions.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>

#include "base/os/resident_memory.h"
#include "model/golden_case.h"
#include "model/plain_model.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

constexpr int kEveryRow = 1 << 16;  // up to here every row attends
constexpr int kPiece = 500;         // no multiple of a page, a chunk or a span
#ifdef __SANITIZE_THREAD__
constexpr size_t kShadow = 5;  // ThreadSanitizer keeps up to four bytes for each that is used
#else
constexpr size_t kShadow = 1;
#endif
constexpr size_t kSlack = size_t{64} << 20;  // what a run may take beyond its pages

int ContextTokens() {
  const char* text = std::getenv("QUERN_LONG_CONTEXT");
  return text != nullptr ? std::clamp(std::atoi(text), 1024, 1 << 20) : 1 << 16;
}

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The first and the last, both sides of where a model trained for a quarter of the context ends, and one in each of 64
// parts, at no particular place of its page.
std::vector<int> ComparedPositions(int n) {
  std::vector<int> out = {0, 1, 255, 256, n / 4 - 1, n / 4, n / 2, 3 * n / 4 - 1, n - 257, n - 2, n - 1};
  constexpr int kParts = 64;
  for (int i = 1; i < kParts; ++i) out.push_back(n / kParts * i + 13 * i % 97);
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

double MiB(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

class LongContext : public testing::TestWithParam<Architecture> {
 protected:
  LongContext() : folder_(fs::temp_directory_path() / fmt::format("quern_long_context_{}", ::getpid())) {}
  ~LongContext() override { fs::remove_all(folder_); }

  // Logits at the positions, which ascend; the sequence is left at the end.
  std::vector<std::vector<float>> Run(Runner& runner, SequenceState& sequence, std::span<const TokenId> tokens,
                                      std::span<const int> positions) {
    const int n = static_cast<int>(tokens.size());
    const auto vocab = static_cast<size_t>(runner.model().config().vocab);
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::vector<float>> seen;
    for (int at = 0; at < n; at += kPiece) {
      const int size = std::min(kPiece, n - at);
      const auto next = std::ranges::lower_bound(positions, at);
      const bool wanted = n <= kEveryRow || (next != positions.end() && *next < at + size);
      const ForwardResult result =
          runner.Run(sequence, tokens.subspan(static_cast<size_t>(at), static_cast<size_t>(size)),
                     wanted ? LogitsFor::kAll : LogitsFor::kNone);
      n_attended_ += result.n_rows;
      for (auto p = next; p != positions.end() && *p < at + size; ++p) {
        const auto row = result.logits.subspan(static_cast<size_t>(*p - at) * vocab, vocab);
        seen.emplace_back(row.begin(), row.end());
      }
      constexpr int kReport = 131072;
      if (n > kReport && (at + size) / kReport > at / kReport) {
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        fmt::print("  {} tokens, {:.1f} s, {:.1f} MiB resident\n", at + size, took.count(), MiB(os::ResidentBytes()));
        std::fflush(stdout);
      }
    }
    return seen;
  }

  fs::path folder_;
  int n_attended_ = 0;  // rows
};

TEST_P(LongContext, LogitsEqualThePlainComputation) {
  const int n = ContextTokens();
  const TinyCheckpoint tiny = TinyCheckpoint::Make(GetParam(), 7);
  tiny.Write(folder_);
  std::mt19937 rng(11);
  std::vector<TokenId> tokens(static_cast<size_t>(n));
  for (TokenId& token : tokens) token = static_cast<TokenId>(rng() % 64);
  const std::vector<int> positions = ComparedPositions(n);

  os::ForgetPeakResident();
  const size_t before = os::ResidentBytes();
  const double cpu_before = ProcessorSeconds();
  Runner runner(folder_, ThreadPool::AvailableThreads(), n / kKvPageTokens);
  ASSERT_GE(runner.model().config().context_length, n);
  const auto sequence = runner.NewSequence();
  const std::vector<std::vector<float>> seen = Run(runner, *sequence, tokens, positions);
  ASSERT_EQ(sequence->n_tokens(), n);
  const size_t grown = os::PeakResidentBytes() - before;
  const double cpu = ProcessorSeconds() - cpu_before;
  const size_t pages = runner.kv().bytes_used();
  fmt::print(
      "{}: {} tokens, {} rows of attention, {:.1f} s of processor time; keys and values {:.1f} MiB, memory grew by "
      "{:.1f} MiB\n",
      ArchitectureName(GetParam()), n, n_attended_, cpu, MiB(pages), MiB(grown));
  EXPECT_GE(grown, pages / 2) << "the measure is broken: the pages alone are more";
  EXPECT_LT(grown, kShadow * (pages + kSlack)) << "beyond the pages";

  const auto expected = PlainModel(tiny).Logits(tokens, positions);
  ASSERT_EQ(seen.size(), expected.size());
  float worst = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    for (size_t v = 0; v < expected[i].size(); ++v) {
      const auto off = static_cast<float>(std::fabs(static_cast<double>(seen[i][v]) - expected[i][v]));
      // Logits are of order one; what is left is the rounding of f32 sums, over up to a million tokens.
      ASSERT_LE(off, 5e-4F) << "position " << positions[i] << " token " << v;
      worst = std::max(worst, off);
    }
  }
  fmt::print("  logits at {} positions within {:.1e} of the plain computation; {:.1f} s of processor time with it\n",
             positions.size(), worst, ProcessorSeconds() - cpu_before);
}

INSTANTIATE_TEST_SUITE_P(EveryArchitecture, LongContext,
                         testing::Values(Architecture::kQwen2, Architecture::kQwen3, Architecture::kQwen3Moe,
                                         Architecture::kQwen3Next),
                         [](const auto& info) { return std::string(ArchitectureName(info.param)); });

}  // namespace
}  // namespace quern::model
