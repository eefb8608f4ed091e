#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "kernels/dequantize.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

struct Force {
  explicit Force(Isa isa) { EXPECT_TRUE(ForceIsa(IsaName(isa)).has_value()); }
  ~Force() { EXPECT_TRUE(ForceIsa(IsaName(best)).has_value()); }
  const Isa best = OfferedIsas().back();
};

Matrix MakeMatrix(DType type, int64_t rows, int64_t cols, std::span<const std::byte> bytes) {
  auto m = Matrix::Prepare(type, rows, cols, bytes);
  EXPECT_TRUE(m.has_value());
  return *m;
}

std::vector<float> Multiply(const Matrix& w, const std::vector<float>& x, int64_t n, ThreadPool& pool,
                            const float* bias = nullptr) {
  std::vector<float> y(static_cast<size_t>(n * w.rows()), NAN);
  MatMulScratch scratch;
  MatMul({.weights = &w, .x = {x.data(), n, w.cols()}, .y = {y.data(), w.rows()}, .bias = bias}, scratch, pool);
  return y;
}

// y in double from dequantised weights and unrounded activations, and the sum of magnitudes that errors scale with.
void Exact(const Matrix& w, const float* x, int64_t row, double* y, double* size) {
  std::vector<float> values(static_cast<size_t>(w.cols()));
  w.ReadRow(row, values.data());
  *y = *size = 0;
  for (int64_t c = 0; c < w.cols(); ++c) {
    const double product = static_cast<double>(values[static_cast<size_t>(c)]) * static_cast<double>(x[c]);
    *y += product;
    *size += std::fabs(product);
  }
}

// How far the form of activations may be off, relative to sum |w x|: f32 sums of a few hundred terms; bf16 rounds
// each activation by at most 2^-8; int8 steps are max|x| / 127 of 32 (256) normal values, i.e. an error of at most
// about 1/90 (1/70) of a typical magnitude each, which averages out to far less over a row.
double Tolerance(const KernelTable& table, DType type) {
  switch (table.MatMul(type).form) {
    case RowForm::kF32:
      return 2e-6;
    case RowForm::kBF16:
      return 1.0 / 256;
    default:
      return 0.01;
  }
}

int64_t Step(DType type) { return Info(type).block_elements; }

TEST(MatMul, EveryLevelAndTypeComesCloseToTheExactSum) {
  ThreadPool pool(2);
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    for (const DType type : ComputeTypes()) {
      for (const int64_t blocks : {1, 3, 8, 9, 37}) {
        const int64_t cols = blocks * Step(type);
        const auto bytes = RandomWeights(type, 21, cols, 7);
        const Matrix w = MakeMatrix(type, 21, cols, bytes);
        const auto x = NormalFloats(static_cast<size_t>(5 * cols), 3);
        const auto y = Multiply(w, x, 5, pool);
        for (int64_t i = 0; i < 5; ++i) {
          for (int64_t o = 0; o < 21; ++o) {
            double exact;
            double size;
            Exact(w, x.data() + i * cols, o, &exact, &size);
            ASSERT_NEAR(y[static_cast<size_t>(i * 21 + o)], exact, Tolerance(Kernels(), type) * size + 1e-6)
                << IsaName(isa) << " " << Info(type).name << " cols " << cols << " row " << i << " output " << o;
          }
        }
      }
    }
  }
}

// Same integers, other order of f32 sums: 4e-6 of the magnitudes covers a few hundred additions. bf16 activations are
// compared against ref on activations that bf16 can hold.
TEST(MatMul, EveryLevelAgreesWithRefAtOddSizesAndAddresses) {
  ThreadPool pool(1);
  for (const DType type : ComputeTypes()) {
    for (const int64_t blocks : {1, 2, 5, 11, 33, 65, 130}) {
      const int64_t cols = blocks * Step(type);
      const auto bytes = RandomWeights(type, 7, cols, 11);
      auto x = NormalFloats(static_cast<size_t>(3 * cols), 5);
      for (float& v : x) v = Bf16ToF32(F32ToBf16(v));
      for (const size_t shift : {0, 1, 2, 34}) {
        const Misaligned moved(bytes, shift);
        const Matrix w = MakeMatrix(type, 7, cols, moved.span());
        std::vector<float> expected;
        {
          const Force force(Isa::kRef);
          expected = Multiply(w, x, 3, pool);
        }
        for (const Isa isa : OfferedIsas()) {
          const Force force(isa);
          const auto y = Multiply(w, x, 3, pool);
          for (size_t k = 0; k < y.size(); ++k) {
            double exact;
            double size;
            Exact(w, x.data() + static_cast<int64_t>(k / 7) * cols, static_cast<int64_t>(k % 7), &exact, &size);
            ASSERT_NEAR(y[k], expected[k], 4e-6 * size)
                << IsaName(isa) << " " << Info(type).name << " cols " << cols << " shift " << shift << " value " << k;
          }
        }
      }
    }
  }
}

TEST(MatMul, ARowsBitsDependOnNeitherNeighboursNorThreads) {
  constexpr int64_t kOut = 83;
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    for (const DType type : ComputeTypes()) {
      const int64_t cols = Step(type) == 1 ? 173 : Step(type) == 32 ? 32 * 11 : 256 * 3;
      const auto bytes = RandomWeights(type, kOut, cols, 23);
      const Matrix w = MakeMatrix(type, kOut, cols, bytes);
      const auto x = NormalFloats(static_cast<size_t>(64 * cols), 29);
      const auto bias = NormalFloats(kOut, 31);
      std::vector<float> expected;
      ThreadPool one(1);
      for (int64_t i = 0; i < 64; ++i) {
        const std::vector<float> row(x.begin() + i * cols, x.begin() + (i + 1) * cols);
        const auto y = Multiply(w, row, 1, one, bias.data());
        expected.insert(expected.end(), y.begin(), y.end());
      }
      // ref computes pair by pair; a few counts are enough there, and sanitizer runs stay short.
      for (int64_t n = 1; n <= 64; n += isa == Isa::kRef ? 21 : 1) {
        const auto y = Multiply(w, x, n, one, bias.data());
        ASSERT_EQ(0, std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)))
            << IsaName(isa) << " " << Info(type).name << " rows " << n;
      }
      for (int threads = 1; threads <= 8; ++threads) {
        ThreadPool pool(threads);
        for (const int64_t n : {1, 3, 7, 64}) {
          const auto y = Multiply(w, x, n, pool, bias.data());
          ASSERT_EQ(0, std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)))
              << IsaName(isa) << " " << Info(type).name << " rows " << n << " threads " << threads;
        }
      }
    }
  }
}

TEST(MatMul, QuantisedWeightsGiveTheSameBitsOnEveryLevel) {
  ThreadPool pool(2);
  for (const DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4K, DType::kQ5K, DType::kQ6K}) {
    const int64_t cols = Step(type) == 32 ? 32 * 11 : 256 * 3;
    const auto bytes = RandomWeights(type, 37, cols, 23);
    const Matrix w = MakeMatrix(type, 37, cols, bytes);
    const auto x = NormalFloats(static_cast<size_t>(21 * cols), 29);
    std::vector<float> expected;
    {
      const Force force(Isa::kRef);
      expected = Multiply(w, x, 21, pool);
    }
    for (const Isa isa : OfferedIsas()) {
      const Force force(isa);
      EXPECT_EQ(Multiply(w, x, 21, pool), expected) << IsaName(isa) << " " << Info(type).name;
    }
  }
}

TEST(MatMul, JobsTogetherEqualJobsAlone) {
  ThreadPool pool(3);
  const int64_t cols = 512;
  const auto x = NormalFloats(6 * cols, 1);
  const std::vector<int32_t> routed = {4, 0, 4, 2};
  std::vector<std::vector<std::byte>> bytes;
  std::vector<Matrix> weights;
  for (const DType type : ComputeTypes()) {
    bytes.push_back(RandomWeights(type, 40, cols, 2));
    weights.push_back(MakeMatrix(type, 40, cols, bytes.back()));
  }
  std::vector<std::vector<float>> together(2 * weights.size(), std::vector<float>(6 * 40, NAN));
  std::vector<MatMulJob> jobs;
  for (size_t k = 0; k < weights.size(); ++k) {
    jobs.push_back({.weights = &weights[k], .x = {x.data(), 6, cols}, .y = {together[2 * k].data(), 40}});
    jobs.push_back(
        {.weights = &weights[k], .x = {x.data(), 6, cols}, .y = {together[2 * k + 1].data(), 40}, .gather = routed});
  }
  MatMulScratch scratch;
  MatMul(jobs, scratch, pool);
  for (size_t k = 0; k < weights.size(); ++k) {
    const auto alone = Multiply(weights[k], x, 6, pool);
    EXPECT_EQ(together[2 * k], alone);
    for (size_t i = 0; i < routed.size(); ++i) {
      for (size_t o = 0; o < 40; ++o) {
        ASSERT_EQ(together[2 * k + 1][i * 40 + o], alone[static_cast<size_t>(routed[i]) * 40 + o]);
      }
    }
  }
}

// Enough rows for several pieces and passes, in an order of their own, some of them several times; widths at which
// kernels work in smaller parts.
TEST(MatMul, ManyGatheredRowsAreWhatEachIsAlone) {
  constexpr int64_t kOut = 37;
  ThreadPool pool(3);
  ThreadPool one(1);
  for (const Isa isa : OfferedIsas()) {
    if (isa == Isa::kRef) continue;
    const Force force(isa);
    for (const DType type : ComputeTypes()) {
      for (const int64_t cols : {int64_t{480}, int64_t{1536}, int64_t{16128}, int64_t{106496}}) {
        if (cols % Step(type) != 0 || (cols > 100000 && Step(type) == 1)) continue;
        const int64_t n_rows = cols > 100000 ? 8 : cols > 2000 ? 35 : 150;
        const auto bytes = RandomWeights(type, kOut, cols, 23);
        const Matrix w = MakeMatrix(type, kOut, cols, bytes);
        const auto x = NormalFloats(static_cast<size_t>(n_rows * cols), 29);
        const auto bias = NormalFloats(kOut, 31);
        std::vector<int32_t> rows;
        for (int64_t i = 0; i < 2 * n_rows; ++i) rows.push_back(static_cast<int32_t>(i * 7 % n_rows));
        for (const size_t n : {rows.size(), size_t{14}, size_t{8}, size_t{2}}) {
          std::vector<float> y(n * kOut, NAN);
          MatMulScratch scratch;
          MatMul({.weights = &w,
                  .x = {x.data(), n_rows, cols},
                  .y = {y.data(), kOut},
                  .bias = bias.data(),
                  .gather = std::span(rows).first(n)},
                 scratch, pool);
          const size_t step = n > 20 ? 13 : 1;
          for (size_t i = 0; i < n; i += step) {
            const auto begin = x.begin() + rows[i] * cols;
            const auto alone = Multiply(w, std::vector<float>(begin, begin + cols), 1, one, bias.data());
            ASSERT_EQ(0, std::memcmp(y.data() + i * kOut, alone.data(), alone.size() * sizeof(float)))
                << IsaName(isa) << " " << Info(type).name << " cols " << cols << " rows " << n << " row " << i;
          }
        }
      }
    }
  }
}

TEST(MatMul, InfinitiesAndNanReachTheResultAndHarmNobodyElse) {
  ThreadPool pool(1);
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    for (const DType type : ComputeTypes()) {
      const auto bytes = RandomWeights(type, 3, 512, 2);
      const Matrix w = MakeMatrix(type, 3, 512, bytes);
      auto x = NormalFloats(20 * 512, 1);
      const auto clean = Multiply(w, x, 20, pool);
      x[7] = INFINITY;
      x[1024 + 300] = NAN;
      const auto y = Multiply(w, x, 20, pool);
      for (size_t o = 0; o < 3; ++o) {
        EXPECT_FALSE(std::isfinite(y[o])) << IsaName(isa) << " " << Info(type).name;
        EXPECT_EQ(y[3 + o], clean[3 + o]);
        EXPECT_TRUE(std::isnan(y[6 + o])) << IsaName(isa) << " " << Info(type).name;
      }
      EXPECT_TRUE(std::equal(y.begin() + 9, y.end(), clean.begin() + 9)) << IsaName(isa) << " " << Info(type).name;
    }
  }
}

TEST(Dispatch, NamesThatCannotBeHadAreErrors) {
  const auto unknown = ForceIsa("avx9");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace quern::kernels
