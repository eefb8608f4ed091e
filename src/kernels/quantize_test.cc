// Quantisers against the decoder (quant_test.cc holds that one to the format's own) and against plain rounding.
#include "kernels/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/dequantize.h"
#include "kernels/scale_search.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

constexpr DType kFitted[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ5_0, DType::kIQ4NL, DType::kQ2K,
                             DType::kQ3K,  DType::kQ4K,  DType::kQ5K,  DType::kQ6K};

std::vector<std::byte> Quantized(DType type, const std::vector<float>& x, const float* importance = nullptr) {
  std::vector<std::byte> bytes(RowBytes(type, static_cast<int64_t>(x.size())));
  QuantizeRow(type, x.data(), static_cast<int64_t>(x.size()), importance, bytes.data());
  return bytes;
}

std::vector<float> RoundTrip(DType type, const std::vector<float>& x, const float* importance = nullptr) {
  const auto bytes = Quantized(type, x, importance);
  std::vector<float> out(x.size());
  DequantizeRow(type, bytes.data(), static_cast<int64_t>(x.size()), out.data());
  return out;
}

double SquaredError(const std::vector<float>& a, const std::vector<float>& b, const float* w = nullptr) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += d * d * (w != nullptr ? static_cast<double>(w[i]) : 1.0);
  }
  return sum;
}

// Rows that look like weights and rows that do not.
std::vector<std::vector<float>> Rows() {
  std::vector<std::vector<float>> rows;
  rows.push_back(NormalFloats(2048, 1));
  std::mt19937 random(2);
  std::vector<float> row(2048);
  std::uniform_real_distribution<float> uniform(-1, 3);
  for (float& v : row) v = uniform(random);
  rows.push_back(row);
  std::student_t_distribution<float> heavy(2);
  for (float& v : row) v = std::clamp(heavy(random), -1000.0F, 1000.0F);
  rows.push_back(row);
  rows.emplace_back(512, 0.0F);
  rows.emplace_back(512, 0.37F);
  rows.emplace_back(512, -0.37F);
  rows.emplace_back(512, 1e-38F);
  rows.emplace_back(512, -3e-8F);
  rows.emplace_back(512, 65504.0F);
  rows.emplace_back(512, -65504.0F);
  row.assign(512, 0.0F);
  row[77] = 5;
  row[300] = -5;
  rows.push_back(row);
  row = NormalFloats(512, 3);
  for (size_t i = 0; i < row.size(); i += 2) row[i] *= 1e-4F;
  rows.push_back(row);
  row = NormalFloats(512, 4);
  for (float& v : row) v = std::fabs(v);
  rows.push_back(row);
  for (float& v : row) v = -v;
  rows.push_back(row);
  return rows;
}

TEST(Quantize, EveryElementStaysInsideTheDocumentedBound) {
  const auto rows = Rows();
  for (const auto& [type, share] : {std::pair(DType::kQ8_0, 250.0F), std::pair(DType::kQ5_0, 8.0F),
                                    std::pair(DType::kQ4_0, 4.0F), std::pair(DType::kIQ4NL, 4.0F)}) {
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto back = RoundTrip(type, rows[r]);
      for (size_t i = 0; i < back.size(); ++i) {
        float largest = 0;
        for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) largest = std::max(largest, std::fabs(rows[r][j]));
        // Scales below 2^-24 have no f16: what they would scale becomes 0.
        ASSERT_LE(std::fabs(back[i] - rows[r][i]), largest / share + 127 * std::ldexp(1.0F, -25))
            << Info(type).name << " row " << r << " element " << i;
      }
    }
  }
}

// k-quants share a super-block's scales: an element's bound follows from the largest of 256, in steps of a sub-block.
TEST(Quantize, SuperBlocksStayInsideTheRangeOfTheirElements) {
  const auto rows = Rows();
  for (const auto& [type, share] :
       {std::pair(DType::kQ2K, 2.0F), std::pair(DType::kQ3K, 3.0F), std::pair(DType::kQ4K, 6.0F),
        std::pair(DType::kQ5K, 12.0F), std::pair(DType::kQ6K, 20.0F)}) {
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto back = RoundTrip(type, rows[r]);
      for (size_t i = 0; i < back.size(); ++i) {
        float low = 0, high = 0;
        for (size_t j = i / 256 * 256; j < i / 256 * 256 + 256; ++j) {
          low = std::min(low, rows[r][j]);
          high = std::max(high, rows[r][j]);
        }
        ASSERT_LE(std::fabs(back[i] - rows[r][i]), (high - low) / share + 128 * 63 * std::ldexp(1.0F, -25))
            << Info(type).name << " row " << r << " element " << i;
      }
    }
  }
}

TEST(Quantize, ErrorOfNormalValuesIsAsDocumented) {
  const std::vector<float> x = NormalFloats(1 << 17, 9);
  const std::vector<float> zero(x.size());
  for (const auto& [type, documented] :
       {std::pair(DType::kQ8_0, 0.0057), std::pair(DType::kQ6K, 0.0175), std::pair(DType::kQ5K, 0.0355),
        std::pair(DType::kQ5_0, 0.042), std::pair(DType::kQ4K, 0.071), std::pair(DType::kIQ4NL, 0.08),
        std::pair(DType::kQ4_0, 0.088), std::pair(DType::kQ3K, 0.16), std::pair(DType::kQ2K, 0.265)}) {
    const double error = std::sqrt(SquaredError(x, RoundTrip(type, x)) / SquaredError(x, zero));
    EXPECT_LT(error, documented) << Info(type).name;
    EXPECT_GT(error, 0.9 * documented) << Info(type).name << ": the documented figure is too high";
  }
}

// What a file's bytes would be without a search: the largest element decides the scale.
float PlainScale(const float* x, int lo) {
  float extreme = 0;
  for (int i = 0; i < 32; ++i) extreme = std::fabs(x[i]) > std::fabs(extreme) ? x[i] : extreme;
  return F16ToF32(F32ToF16(extreme / static_cast<float>(lo)));
}

TEST(Quantize, TheFitIsNeverWorseThanPlainRounding) {
  const std::vector<float> ones(32, 1.0F);
  for (const auto& [type, lo] : {std::pair(DType::kQ4_0, -8), std::pair(DType::kQ5_0, -16)}) {
    for (const auto& row : Rows()) {
      const auto back = RoundTrip(type, row);
      double fitted = 0, plain = 0;
      for (size_t at = 0; at < row.size(); at += 32) {
        const std::vector<float> x(row.begin() + static_cast<std::ptrdiff_t>(at),
                                   row.begin() + static_cast<std::ptrdiff_t>(at) + 32);
        const std::vector<float> y(back.begin() + static_cast<std::ptrdiff_t>(at),
                                   back.begin() + static_cast<std::ptrdiff_t>(at) + 32);
        fitted += SquaredError(x, y);
        plain += static_cast<double>(ScaleError(x.data(), ones.data(), 32, PlainScale(x.data(), lo), lo, -lo - 1));
      }
      EXPECT_LE(fitted, plain * 1.0001 + 1e-12) << Info(type).name;
    }
  }
}

TEST(Quantize, ImportanceMovesTheErrorToColumnsThatMatterLess) {
  const std::vector<float> x = NormalFloats(1 << 14, 21);
  std::vector<float> importance = NormalFloats(x.size(), 22);
  for (float& v : importance) v = std::exp(2 * v);
  for (const DType type : kFitted) {
    if (type == DType::kQ8_0) continue;  // not fitted
    const double with = SquaredError(x, RoundTrip(type, x, importance.data()), importance.data());
    const double without = SquaredError(x, RoundTrip(type, x), importance.data());
    EXPECT_LT(with, 0.93 * without) << Info(type).name;
  }
}

TEST(Quantize, ColumnsWithoutImportanceAreStillStored) {
  const std::vector<float> x = NormalFloats(512, 23);
  const std::vector<float> nothing(512, 0.0F);
  std::vector<float> one = nothing;
  one[5] = 1;
  for (const DType type : kFitted) {
    EXPECT_EQ(Quantized(type, x), Quantized(type, x, nothing.data()));
    for (const float v : RoundTrip(type, x, one.data())) ASSERT_TRUE(std::isfinite(v));
    // A scale of four bits is within a thirtieth of the one wanted.
    EXPECT_NEAR(RoundTrip(type, x, one.data())[5], x[5], type == DType::kQ2K ? 0.1F : 0.05F) << Info(type).name;
  }
}

TEST(Quantize, PlainTypesRoundToNearest) {
  const std::vector<float> x = NormalFloats(64, 5);
  EXPECT_EQ(RoundTrip(DType::kF32, x), x);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(RoundTrip(DType::kF16, x)[i], F16ToF32(F32ToF16(x[i])));
    EXPECT_EQ(RoundTrip(DType::kBF16, x)[i], Bf16ToF32(F32ToBf16(x[i])));
  }
}

// The bytes of a row made without any library, pinned: another compiler, machine or version of the search shows here.
TEST(Quantize, BytesAreTheSameEverywhere) {
  std::vector<float> x(1024);
  uint64_t state = 12345;
  for (float& v : x) {
    int sum = 0;
    for (int k = 0; k < 4; ++k) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      sum += static_cast<int>(state >> 40) - (1 << 23);
    }
    v = static_cast<float>(sum) / 33554432.0F;
  }
  const std::pair<DType, uint64_t> kPinned[] = {
      {DType::kF16, 0xeb132f5bcab5fec2},  {DType::kBF16, 0x5e92cc62411d5144},  {DType::kQ8_0, 0xcc915521a93119c8},
      {DType::kQ4_0, 0x4a61977cfb11f3b0}, {DType::kQ5_0, 0x5b564cab37614984},  {DType::kQ4K, 0xa8e84a5ee087ef56},
      {DType::kQ5K, 0x95bc20a52891aeb7},  {DType::kQ6K, 0x4cc663578ee1d527},   {DType::kQ2K, 0xc426da938a85f437},
      {DType::kQ3K, 0xc9eb17e923ef0232},  {DType::kIQ4NL, 0x33a0001a19461d21},
  };
  for (const auto& [type, expected] : kPinned) {
    uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
    for (const std::byte b : Quantized(type, x)) hash = (hash ^ static_cast<uint64_t>(b)) * 0x100000001b3ULL;
    EXPECT_EQ(hash, expected) << Info(type).name << " " << std::hex << hash;
  }
}

}  // namespace
}  // namespace quern::kernels
