#include "cli/bench_kernels.h"

#include <fmt/core.h>

#include "kernels/kernel_timer.h"

namespace quern::cli {
namespace {

struct Shape {
  int64_t rows, cols;
};
constexpr DType kTypes[] = {DType::kQ4K, DType::kQ5K, DType::kQ6K, DType::kQ8_0, DType::kQ4_0, DType::kBF16};
// An expert, attention's output and a feed-forward matrix of the published models.
constexpr Shape kShapes[] = {{768, 2048}, {2048, 4096}, {8960, 1536}};
constexpr int kRows[] = {1, 2, 4, 8, 32, 128, 512};

}  // namespace

Result<std::string> KernelTable(ThreadPool& pool, const kernels::Ceilings& ceilings, int n_repeats,
                                const BenchProgress& progress) {
  std::string out = fmt::format("{:<6} {:>12} {:>6} {:>10} {:>8} {:>7} {:>9} {:>7}\n", "type", "shape", "rows", "us",
                                "GB/s", "% read", "Gop/s", "% peak");
  const size_t total = std::size(kTypes) * std::size(kShapes) * std::size(kRows);
  size_t done = 0;
  for (const DType type : kTypes) {
    for (const Shape shape : kShapes) {
      QUERN_ASSIGN(auto timer, kernels::MatrixTimer::Create(type, shape.rows, shape.cols));
      for (const int n_rows : kRows) {
        progress(done++, total);
        const double seconds = timer.Seconds(n_rows, n_repeats, pool);
        const double read = timer.matrix_bytes() / seconds;
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
