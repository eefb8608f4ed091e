// Matmul per type, shape and number of rows: bytes of weights per second and arithmetic per second, beside what the
// memory of this machine delivers in the same run. Every case is checked against the ref level before it is timed.
//   quern_kernels_bench [--threads=N] [--isa=avx2] [Google Benchmark flags]
// Shapes are outputs x inputs. Small matrices are read in turn from 256 MiB of copies, so that they come from where a
// model's weights come from and not from a core's own cache. The CPU column is the time of all threads together: on a
// busy machine arithmetic per CPU second says more than arithmetic per second.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "base/os/cpu.h"
#include "base/thread_pool.h"
#include "kernels/dequantize.h"
#include "kernels/matmul.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

constexpr size_t kCopiesBytes = size_t{256} << 20;

struct Shape {
  int64_t rows, cols;
};

// Copies of one random matrix; made on first use, one type and shape at a time (the largest takes 1.2 GB).
struct Weights {
  DType type{};
  Shape shape{};
  std::vector<std::byte> bytes;
  std::vector<Matrix> copies;

  static const Weights& Get(DType type, Shape shape) {
    static Weights weights;
    if (weights.type != type || weights.shape.rows != shape.rows || weights.shape.cols != shape.cols) {
      weights.Make(type, shape);
    }
    return weights;
  }

  void Make(DType new_type, Shape new_shape) {
    type = new_type;
    shape = new_shape;
    copies.clear();
    const auto pattern = RandomWeights(type, 64, shape.cols, 1);
    const size_t one = RowBytes(type, shape.cols) * static_cast<size_t>(shape.rows);
    const size_t n = std::max<size_t>(1, kCopiesBytes / one);
    bytes.resize(n * one);
    for (size_t at = 0; at < bytes.size(); at += pattern.size()) {
      std::copy_n(pattern.begin(), std::min(pattern.size(), bytes.size() - at),
                  bytes.begin() + static_cast<ptrdiff_t>(at));
    }
    for (size_t i = 0; i < n; ++i) {
      copies.push_back(*Matrix::Prepare(type, shape.rows, shape.cols, std::span(bytes).subspan(i * one, one)));
    }
  }
};

// The first 32 outputs against the ref level: within 1/256 of the magnitudes for bf16 activations, else 4e-6.
bool MatchesRef(const Matrix& w, const std::vector<float>& x, int64_t n, const std::vector<float>& y) {
  ThreadPool one(1);
  const Matrix head = w.Slice(0, 32);
  std::vector<float> expected(static_cast<size_t>(n * 32));
  std::vector<float> row(static_cast<size_t>(w.cols()));
  const std::string used(IsaName(Kernels().isa));
  const double tolerance = Kernels().MatMul(w.type()).form == RowForm::kBF16 ? 1.0 / 256 : 4e-6;
  if (!ForceIsa("ref")) return false;
  MatMulScratch scratch;
  MatMul({.weights = &head, .x = {x.data(), n, w.cols()}, .y = {expected.data(), 32}}, scratch, one);
  if (!ForceIsa(used)) return false;
  for (int64_t o = 0; o < 32; ++o) {
    w.ReadRow(o, row.data());
    for (int64_t i = 0; i < n; ++i) {
      double size = 0;
      for (int64_t c = 0; c < w.cols(); ++c) {
        size += std::fabs(static_cast<double>(row[static_cast<size_t>(c)] * x[static_cast<size_t>(i * w.cols() + c)]));
      }
      const float got = y[static_cast<size_t>(i * w.rows() + o)];
      if (!(std::fabs(got - expected[static_cast<size_t>(i * 32 + o)]) <= tolerance * size)) return false;
    }
  }
  return true;
}

void MatMulCase(benchmark::State& state, DType type, Shape shape, int64_t n, ThreadPool& pool) {
  const Weights& weights = Weights::Get(type, shape);
  const auto x = NormalFloats(static_cast<size_t>(n * shape.cols), 5);
  std::vector<float> y(static_cast<size_t>(n * shape.rows));
  MatMulScratch scratch;
  const auto run = [&](const Matrix& w) {
    MatMul({.weights = &w, .x = {x.data(), n, shape.cols}, .y = {y.data(), shape.rows}}, scratch, pool);
  };
  run(weights.copies[0]);
  if (!MatchesRef(weights.copies[0], x, n, y)) return state.SkipWithError("differs from ref");
  size_t copy = 0;
  for (auto _ : state) {
    run(weights.copies[copy]);
    copy = (copy + 1) % weights.copies.size();
    benchmark::DoNotOptimize(y.data());
  }
  const double matrix_bytes = static_cast<double>(weights.bytes.size()) / static_cast<double>(weights.copies.size());
  const double ops = 2.0 * static_cast<double>(shape.rows * shape.cols * n);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GB/s"] = benchmark::Counter(matrix_bytes * 1e-9, rate);
  state.counters["GFLOP/s"] = benchmark::Counter(ops * 1e-9, rate);
}

// Sum of 64-bit words over 1 GiB, all threads, best of several: what reading memory allows here.
double MemoryReadGBs(ThreadPool& pool) {
  constexpr size_t kWords = size_t{1} << 27;
  constexpr size_t kPieceWords = size_t{1} << 17;
  std::vector<uint64_t> words(kWords, 1);
  double best = 0;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    pool.ParallelFor(kWords / kPieceWords, [&](size_t piece, int) {
      const uint64_t* p = words.data() + piece * kPieceWords;
      uint64_t sums[8] = {};
      for (size_t i = 0; i < kPieceWords; i += 8) {
        for (size_t k = 0; k < 8; ++k) sums[k] += p[i + k];
      }
      for (const uint64_t sum : sums) benchmark::DoNotOptimize(sum);
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, 8e-9 * static_cast<double>(kWords) / seconds.count());
  }
  return best;
}

// Takes "--name=value" out of the arguments; "" when absent.
std::string TakeFlag(int* argc, char** argv, const std::string& name) {
  const std::string prefix = "--" + name + "=";
  for (int i = 1; i < *argc; ++i) {
    const std::string argument = argv[i];
    if (!argument.starts_with(prefix)) continue;
    std::move(argv + i + 1, argv + *argc, argv + i);
    --*argc;
    return argument.substr(prefix.size());
  }
  return "";
}

void RegisterAll(ThreadPool& pool) {
  for (const DType type : ComputeTypes()) {
    for (const Shape shape : {Shape{768, 2048}, Shape{2048, 2048}, Shape{151936, 2048}}) {
      for (const int64_t n : {1, 8, 64}) {
        const std::string name = fmt::format("{}/{}x{}/n={}", Info(type).name, shape.rows, shape.cols, n);
        benchmark::RegisterBenchmark(
            name.c_str(), [type, shape, n, &pool](benchmark::State& state) { MatMulCase(state, type, shape, n, pool); })
            ->UseRealTime()
            ->MeasureProcessCPUTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

int Main(int argc, char** argv) {
  const std::string threads = TakeFlag(&argc, argv, "threads");
  const std::string isa = TakeFlag(&argc, argv, "isa");
  if (!isa.empty()) {
    if (const auto forced = ForceIsa(isa); !forced) {
      fmt::print(stderr, "{}\n", forced.error().message());
      return 2;
    }
  }
  const int n_threads = threads.empty() ? ThreadPool::AvailableThreads() : std::atoi(threads.c_str());
  if (n_threads < 1) {
    fmt::print(stderr, "--threads={}: expected a number from 1 on\n", threads);
    return 2;
  }
  ThreadPool pool(n_threads);
  fmt::print("{}; {}; {} threads; level {}\n", os::CpuName(), os::Describe(os::Cpu()), n_threads,
             IsaName(Kernels().isa));
  fmt::print("memory read ceiling {:.1f} GB/s\n", MemoryReadGBs(pool));
  std::fflush(stdout);
  RegisterAll(pool);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quern::kernels

int main(int argc, char** argv) { return quern::kernels::Main(argc, argv); }
