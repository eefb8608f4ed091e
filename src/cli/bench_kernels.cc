#include "cli/bench_kernels.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <vector>

#include "base/check.h"
#include "kernels/dispatch.h"
#include "kernels/matmul.h"
#include "model/work.h"

namespace quern::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kCopiesBytes = size_t{256} << 20;
constexpr double kRunSeconds = 0.02;  // at least so long is timed at a time

struct Shape {
  int64_t rows, cols;
};
constexpr DType kTypes[] = {DType::kQ4K, DType::kQ5K, DType::kQ6K, DType::kQ8_0, DType::kQ4_0, DType::kBF16};
// An expert, attention's output and a feed-forward matrix of the published models.
constexpr Shape kShapes[] = {{768, 2048}, {2048, 4096}, {8960, 1536}};
constexpr int kRows[] = {1, 2, 4, 8, 32, 128, 512};

// Blocks of small finite weights: random bytes, then every two bytes that are a scale (or a bf16 value) made one.
std::vector<std::byte> RandomBlocks(DType type, size_t n_bytes) {
  std::vector<std::byte> out(n_bytes);
  std::minstd_rand random(7);
  for (std::byte& b : out) b = static_cast<std::byte>(random() >> 8U);
  const auto block = static_cast<size_t>(Info(type).block_bytes);
  const auto put = [&](size_t at, uint16_t bits) {
    out[at] = static_cast<std::byte>(bits & 255U);
    out[at + 1] = static_cast<std::byte>(bits >> 8U);
  };
  const uint16_t scale = F32ToF16(0.001F);
  for (size_t at = 0; at < n_bytes; at += block) {
    switch (type) {
      case DType::kBF16:
        put(at, F32ToBf16(static_cast<float>(random() % 2001) * 1e-4F - 0.1F));
        break;
      case DType::kQ6K:
        put(at + block - 2, scale);
        break;
      case DType::kQ4K:
      case DType::kQ5K:
        put(at + 2, scale);
        [[fallthrough]];
      default:
        put(at, scale);
    }
  }
  return out;
}

class MatrixBench {
 public:
  MatrixBench(DType type, Shape shape) : shape_(shape) {
    const size_t one = RowBytes(type, shape.cols) * static_cast<size_t>(shape.rows);
    const size_t n = std::max<size_t>(1, kCopiesBytes / one);
    bytes_ = RandomBlocks(type, one * n);
    for (size_t i = 0; i < n; ++i) {
      auto matrix = kernels::Matrix::Prepare(type, shape.rows, shape.cols, std::span(bytes_).subspan(i * one, one));
      QUERN_CHECK(matrix.has_value());
      copies_.push_back(std::move(*matrix));
    }
  }

  double matrix_bytes() const { return static_cast<double>(bytes_.size()) / static_cast<double>(copies_.size()); }

  // Median seconds of one product.
  double Time(int n_rows, int n_repeats, ThreadPool& pool) {
    std::vector<float> x(static_cast<size_t>(n_rows * shape_.cols)), y(static_cast<size_t>(n_rows * shape_.rows));
    std::minstd_rand random(5);
    for (float& v : x) v = static_cast<float>(random() % 2001) * 1e-3F - 1;
    const auto run = [&] {
      const kernels::Matrix& w = copies_[next_++ % copies_.size()];
      kernels::MatMul({.weights = &w, .x = {x.data(), n_rows, shape_.cols}, .y = {y.data(), shape_.rows}}, scratch_,
                      pool);
    };
    run();
    std::vector<double> seconds;
    for (int repeat = 0; repeat < n_repeats; ++repeat) {
      int n = 0;
      const auto begin = Clock::now();
      double passed = 0;
      do {
        run();
        passed = std::chrono::duration<double>(Clock::now() - begin).count();
        ++n;
      } while (passed < kRunSeconds);
      seconds.push_back(passed / n);
    }
    std::ranges::sort(seconds);
    return seconds[seconds.size() / 2];
  }

 private:
  const Shape shape_;
  std::vector<std::byte> bytes_;
  std::vector<kernels::Matrix> copies_;
  kernels::MatMulScratch scratch_;
  size_t next_ = 0;
};

}  // namespace

std::string KernelTable(ThreadPool& pool, const kernels::Ceilings& ceilings, int n_repeats,
                        const BenchProgress& progress) {
  std::string out = fmt::format("{:<6} {:>12} {:>6} {:>10} {:>8} {:>7} {:>9} {:>7}\n", "type", "shape", "rows", "us",
                                "GB/s", "% read", "Gop/s", "% peak");
  const size_t total = std::size(kTypes) * std::size(kShapes) * std::size(kRows);
  size_t done = 0;
  for (const DType type : kTypes) {
    for (const Shape shape : kShapes) {
      MatrixBench bench(type, shape);
      for (const int n_rows : kRows) {
        progress(done++, total);
        const double seconds = bench.Time(n_rows, n_repeats, pool);
        const double read = bench.matrix_bytes() / seconds;
        const double ops = 2.0 * static_cast<double>(shape.rows * shape.cols) * n_rows / seconds;
        const double peak = type == DType::kBF16 ? ceilings.MatrixBf16() : ceilings.MatrixInt8();
        out += fmt::format("{:<6} {:>12} {:>6} {:>10.1f} {:>8.1f} {:>7.1f} {:>9.1f} {:>7}\n", Info(type).name,
                           fmt::format("{}x{}", shape.rows, shape.cols), n_rows, seconds * 1e6, read * 1e-9,
                           100 * read / ceilings.read_bytes, ops * 1e-9,
                           peak > 0 ? fmt::format("{:.1f}", 100 * ops / peak) : "-");
      }
    }
  }
  return out;
}

}  // namespace quern::cli
