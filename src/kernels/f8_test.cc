#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "kernels/dequantize.h"
#include "kernels/matmul.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

struct Force {
  explicit Force(Isa isa) { EXPECT_TRUE(ForceIsa(IsaName(isa)).has_value()); }
  ~Force() { EXPECT_TRUE(ForceIsa(IsaName(best)).has_value()); }
  const Isa best = OfferedIsas().back();
};

// A matrix of every code, and scales that differ from block to block.
struct F8Case {
  F8Case(int64_t n_rows, int64_t n_cols) : rows(n_rows), cols(n_cols), bytes(static_cast<size_t>(n_rows * n_cols)) {
    std::mt19937 random(3);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    scales = NormalFloats(static_cast<size_t>(Matrix::F8Blocks(rows) * Matrix::F8Blocks(cols)), 4);
  }

  Matrix Prepared() const { return *Matrix::PrepareF8(rows, cols, bytes, scales); }

  // Row r in double, from the formula of the format: sign, 4 bits of exponent (bias 7), 3 of mantissa.
  std::vector<double> Row(int64_t r) const {
    std::vector<double> out;
    for (int64_t c = 0; c < cols; ++c) {
      const auto code = static_cast<int>(bytes[static_cast<size_t>(r * cols + c)]);
      const int exponent = (code >> 3) & 15;
      const double mantissa = (code & 7) / 8.0;
      const double size = exponent == 0 ? std::ldexp(mantissa, -6) : std::ldexp(1 + mantissa, exponent - 7);
      const auto block = static_cast<size_t>(r / 128 * Matrix::F8Blocks(cols) + c / 128);
      out.push_back((code < 128 ? size : -size) * double{scales[block]});
    }
    return out;
  }

  int64_t rows, cols;
  std::vector<std::byte> bytes;
  std::vector<float> scales;
};

std::vector<float> Multiply(const Matrix& w, const std::vector<float>& x, int64_t n, ThreadPool& pool,
                            const float* bias = nullptr) {
  std::vector<float> y(static_cast<size_t>(n * w.rows()), NAN);
  MatMulScratch scratch;
  MatMul({.weights = &w, .x = {x.data(), n, w.cols()}, .y = {y.data(), w.rows()}, .bias = bias}, scratch, pool);
  return y;
}

TEST(F8, EveryCodeHasItsValue) {
  EXPECT_EQ(F8E4M3ToF32(0x7E), 448.0F);
  EXPECT_EQ(F8E4M3ToF32(0xFE), -448.0F);
  EXPECT_EQ(F8E4M3ToF32(0x38), 1.0F);
  EXPECT_EQ(F8E4M3ToF32(0x01), std::ldexp(1.0F, -9));
  EXPECT_EQ(F8E4M3ToF32(0x08), std::ldexp(1.0F, -6));
  EXPECT_TRUE(std::signbit(F8E4M3ToF32(0x80)));
  for (int code = 0; code < 127; ++code) {
    EXPECT_LT(F8E4M3ToF32(static_cast<uint8_t>(code)), F8E4M3ToF32(static_cast<uint8_t>(code + 1)));
  }
}

TEST(F8, EveryLevelMultipliesAsTheFormatSays) {
  ThreadPool pool(2);
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    for (const auto& [rows, cols] :
         {std::pair<int64_t, int64_t>(1, 1), {128, 128}, {129, 127}, {200, 300}, {300, 65}, {17, 150}, {131, 391}}) {
      const F8Case f8(rows, cols);
      const Matrix w = f8.Prepared();
      const auto x = NormalFloats(static_cast<size_t>(11 * cols), 5);
      const auto bias = NormalFloats(static_cast<size_t>(rows), 6);
      const auto y = Multiply(w, x, 11, pool, bias.data());
      for (int64_t o = 0; o < rows; ++o) {
        const auto values = f8.Row(o);
        for (int64_t i = 0; i < 11; ++i) {
          double exact = double{bias[static_cast<size_t>(o)]}, size = std::fabs(exact);
          for (int64_t c = 0; c < cols; ++c) {
            const double product = values[static_cast<size_t>(c)] * double{x[static_cast<size_t>(i * cols + c)]};
            exact += product;
            size += std::fabs(product);
          }
          ASSERT_NEAR(y[static_cast<size_t>(i * rows + o)], exact, 2e-6 * size)
              << IsaName(isa) << " " << rows << " x " << cols << " row " << i << " output " << o;
        }
      }
    }
  }
}

TEST(F8, ARowIsTheSameInAnyCompanyAndOnAnyThreads) {
  const F8Case f8(300, 391);
  const Matrix w = f8.Prepared();
  const auto x = NormalFloats(static_cast<size_t>(19 * f8.cols), 5);
  ThreadPool one(1), three(3);
  for (const Isa isa : OfferedIsas()) {
    const Force force(isa);
    const auto all = Multiply(w, x, 19, one);
    EXPECT_EQ(Multiply(w, x, 19, three), all) << IsaName(isa);
    for (int64_t i = 0; i < 19; ++i) {
      const std::vector<float> row(x.begin() + i * f8.cols, x.begin() + (i + 1) * f8.cols);
      const std::vector<float> expected(all.begin() + i * f8.rows, all.begin() + (i + 1) * f8.rows);
      EXPECT_EQ(Multiply(w, row, 1, one), expected) << IsaName(isa) << " row " << i;
    }
  }
}

TEST(F8, ASliceKeepsItsScales) {
  const F8Case f8(300, 200);
  const Matrix w = f8.Prepared();
  const auto x = NormalFloats(static_cast<size_t>(f8.cols), 5);
  ThreadPool pool(1);
  const auto all = Multiply(w, x, 1, pool);
  for (const int64_t first : {16, 112, 128, 240}) {
    const auto part = Multiply(w.Slice(first, 50), x, 1, pool);
    EXPECT_EQ(part, std::vector<float>(all.begin() + first, all.begin() + first + 50)) << first;
  }
}

TEST(F8, RefusesScalesThatAreNoNumbersOrTooMany) {
  F8Case f8(200, 300);
  const auto error = [&] { return Matrix::PrepareF8(f8.rows, f8.cols, f8.bytes, f8.scales).error().ToString(); };
  const float inf = std::numeric_limits<float>::infinity();
  f8.scales[4] = NAN;
  EXPECT_EQ(error(),
            "invalid_argument: f8_e4m3 matrix of 200 x 300: the scale of block [1, 1] is nan, expected a number of at "
            "most 2^96");
  f8.scales[4] = -inf;
  EXPECT_NE(error().find("is -inf"), std::string::npos);
  f8.scales[4] = 1e30F;
  EXPECT_NE(error().find("is 1e+30"), std::string::npos);
  f8.scales.pop_back();
  EXPECT_EQ(error(), "invalid_argument: f8_e4m3 matrix of 200 x 300: 6 scales expected, 5 given");
  EXPECT_EQ(Matrix::Prepare(DType::kF8E4M3, 200, 300, f8.bytes).error().code(), Code::kUnsupported);
}

}  // namespace
}  // namespace quern::kernels
