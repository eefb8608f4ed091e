#include "kernels/kernel_timer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <random>
#include <span>
#include <utility>

#include "base/check.h"

namespace quern::kernels {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMemoryBytes = size_t{512} << 20;  // beyond every cache of the machines we know
constexpr double kRunSeconds = 0.006;               // at least so long is timed at a time
// Taken in rounds over all that is measured, so that a disturbance of some tenths of a second spoils few of each.
constexpr int kRounds = 5;

// As large as what a layer of the published models reads in one call.
constexpr int64_t kCostRows = 4096;
constexpr int64_t kCostCols = 2048;
constexpr int kCostPoints[] = {1, 2, 4, 8, 12, 16, 32, 64, 128, 512};
constexpr double kLongSeconds = 0.1;

constexpr int kDepth = 8192;
constexpr int kPromptRows = 256;

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Median seconds of run(), after one run that is not counted.
template <typename Run>
double MedianSeconds(int n_repeats, const Run& run) {
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
  return Median(std::move(seconds));
}

// Between -1 and 1.
std::vector<float> RandomFloats(size_t n) {
  std::vector<float> out(n);
  std::minstd_rand random(5);
  for (float& v : out) v = static_cast<float>(random() % 2001) * 1e-3F - 1;
  return out;
}

// Rows of small finite weights: random bytes in blocks, then every two bytes that are a scale made one.
std::vector<std::byte> RandomWeights(DType type, int64_t rows, int64_t cols) {
  std::vector<std::byte> out(RowBytes(type, cols) * static_cast<size_t>(rows));
  std::minstd_rand random(7);
  const auto put = [&](size_t at, auto value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    std::ranges::copy(bytes, out.begin() + static_cast<ptrdiff_t>(at));
  };
  const auto block = static_cast<size_t>(Info(type).block_bytes);
  if (Info(type).block_elements > 1 || block == 1) {
    for (std::byte& b : out) b = static_cast<std::byte>(random() >> 8U);
  }
  const uint16_t scale = F32ToF16(0.001F);
  for (size_t at = 0; at < out.size(); at += block) {
    const float value = static_cast<float>(random() % 2001) * 1e-4F - 0.1F;
    switch (type) {
      case DType::kF32:
        put(at, value);
        break;
      case DType::kF16:
        put(at, F32ToF16(value));
        break;
      case DType::kBF16:
        put(at, F32ToBf16(value));
        break;
      case DType::kF8E4M3:
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

Result<Matrix> RandomMatrix(DType type, int64_t rows, int64_t cols) {
  const auto weights = RandomWeights(type, rows, cols);
  if (type != DType::kF8E4M3) return Matrix::Prepare(type, rows, cols, weights);
  const std::vector<float> scales(static_cast<size_t>(Matrix::F8Blocks(rows) * Matrix::F8Blocks(cols)), 1e-3F);
  return Matrix::PrepareF8(rows, cols, weights, scales);
}

// Keys and values of one sequence in pages that lie one behind the other, as often as they fit: layers of a model.
class Layers {
 public:
  static Result<Layers> Create(const KvLayout& layout) {
    const size_t n_pages = kDepth / static_cast<size_t>(layout.page_tokens);
    const size_t k_bytes = layout.key_page_bytes(), v_bytes = layout.value_page_bytes();
    const size_t n_layers = std::max<size_t>(1, kMemoryBytes / (n_pages * (k_bytes + v_bytes)));
    QUERN_ASSIGN(auto memory, os::LargeMemory::Create(n_layers * n_pages * (k_bytes + v_bytes)));
    Layers out(std::move(memory), layout);
    std::byte* at = out.memory_->bytes().data();
    const std::byte* first = at;
    for (size_t layer = 0; layer < n_layers; ++layer) {
      out.pages_.emplace_back();
      for (size_t page = 0; page < n_pages; ++page, at += k_bytes + v_bytes) {
        if (at == first) {
          out.Fill(at, at + k_bytes);
        } else {
          std::copy_n(first, k_bytes + v_bytes, at);
        }
        out.pages_.back().k.push_back(at);
        out.pages_.back().v.push_back(at + k_bytes);
      }
    }
    return out;
  }

  // Seconds of n_rows rows that end at kDepth, in one layer.
  double Seconds(int n_rows, int n_heads, ThreadPool& pool) {
    const auto width = static_cast<size_t>(n_heads * layout_.head_dim);
    const auto q = RandomFloats(width * static_cast<size_t>(n_rows));
    std::vector<float> out(q.size());
    AttentionScratch scratch;
    const float scale = 1 / std::sqrt(static_cast<float>(layout_.head_dim));
    return MedianSeconds(1, [&] {
      const Pages& pages = pages_[next_++ % pages_.size()];
      std::vector<AttentionRow> rows;
      for (int r = 0; r < n_rows; ++r) {
        const size_t at = width * static_cast<size_t>(r);
        rows.push_back({q.data() + at, out.data() + at, pages.k.data(), pages.v.data(), kDepth - n_rows + 1 + r});
      }
      Attention(rows, layout_, n_heads, scale, scratch, pool);
    });
  }

 private:
  struct Pages {
    std::vector<const std::byte*> k, v;
  };

  Layers(std::shared_ptr<os::LargeMemory> memory, const KvLayout& layout)
      : memory_(std::move(memory)), layout_(layout) {}

  void Fill(std::byte* k, std::byte* v) const {
    const auto heads = RandomFloats(static_cast<size_t>(layout_.n_kv_heads * layout_.head_dim));
    for (int slot = 0; slot < layout_.page_tokens; ++slot) {
      StoreKeys(layout_, k, slot, heads.data());
      StoreValues(layout_, v, slot, heads.data());
    }
  }

  std::shared_ptr<os::LargeMemory> memory_;
  KvLayout layout_;
  std::vector<Pages> pages_;
  size_t next_ = 0;
};

}  // namespace

Result<MatrixTimer> MatrixTimer::Create(DType type, int64_t rows, int64_t cols) {
  QUERN_ASSIGN(const Matrix one, RandomMatrix(type, rows, cols));
  const auto packed = one.packed();
  const size_t distance = (packed.size() + 63) / 64 * 64;
  const size_t n = std::max<size_t>(1, kMemoryBytes / distance);
  QUERN_ASSIGN(auto memory, os::LargeMemory::Create(n * distance));
  std::vector<Matrix> copies;
  for (size_t i = 0; i < n; ++i) {
    const auto room = memory->bytes().subspan(i * distance, packed.size());
    std::ranges::copy(packed, room.begin());
    QUERN_ASSIGN(auto copy, Matrix::FromPacked(one.stored_type(), rows, cols, room));
    copies.push_back(std::move(copy));
  }
  return MatrixTimer(std::move(memory), std::move(copies));
}

double MatrixTimer::Seconds(int n_rows, int n_repeats, ThreadPool& pool) {
  const int64_t rows = copies_.front().rows(), cols = copies_.front().cols();
  const auto x = RandomFloats(static_cast<size_t>(n_rows * cols));
  std::vector<float> y(static_cast<size_t>(n_rows * rows));
  return MedianSeconds(n_repeats, [&] {
    const Matrix& w = copies_[next_++ % copies_.size()];
    MatMul({.weights = &w, .x = {x.data(), n_rows, cols}, .y = {y.data(), rows}}, scratch_, pool);
  });
}

Result<std::vector<RowCost>> MeasureRowCosts(DType type, ThreadPool& pool) {
  QUERN_ASSIGN(MatrixTimer timer, MatrixTimer::Create(type, kCostRows, kCostCols));
  std::array<std::vector<double>, std::size(kCostPoints)> seconds;
  size_t n_points = seconds.size();
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < n_points; ++i) {
      seconds[i].push_back(timer.Seconds(kCostPoints[i], 1, pool));
      if (seconds[i].back() > kLongSeconds) n_points = i + 1;
    }
  }
  std::vector<RowCost> costs;
  for (size_t i = 0; i < n_points; ++i) {
    costs.push_back(
        {static_cast<double>(kCostPoints[i]), Median(seconds[i]) / static_cast<double>(kCostRows * kCostCols)});
  }
  return costs;
}

Result<PairCost> MeasurePairCost(const KvLayout& layout, int n_heads, ThreadPool& pool) {
  QUERN_ASSIGN(Layers layers, Layers::Create(layout));
  const double n_pairs = kPromptRows * (kDepth - (kPromptRows - 1) / 2.0);
  std::vector<double> one, many;
  for (int round = 0; round < kRounds; ++round) {
    one.push_back(layers.Seconds(1, n_heads, pool));
    many.push_back(layers.Seconds(kPromptRows, n_heads, pool));
  }
  return PairCost{.one_row = Median(std::move(one)) / kDepth, .many_rows = Median(std::move(many)) / n_pairs};
}

}  // namespace quern::kernels
