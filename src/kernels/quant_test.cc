// Block formats: hand-made blocks, the committed answers of the reference decoder, and conversion at load.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/os/mapped_file.h"
#include "kernels/dequantize.h"
#include "kernels/matrix.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

constexpr DType kBlockTypes[] = {DType::kQ8_0,  DType::kQ4_0,  DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                 DType::kQ2K,   DType::kQ3K,   DType::kQ4K,  DType::kQ5K,  DType::kQ6K,
                                 DType::kIQ4NL, DType::kIQ4XS, DType::kMXFP4};

// Matrix::Prepare's promise: the largest difference relative to the weight.
double PromisedLoss(DType type) {
  switch (type) {
    case DType::kIQ4XS:
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ2K:
      return 1.0 / 2048;
    default:
      return 0;
  }
}

TEST(Dequantize, HandMadeBlocks) {
  std::vector<std::byte> q4(18);
  const uint16_t half = F32ToF16(0.5F);
  std::memcpy(q4.data(), &half, 2);
  for (size_t j = 0; j < 16; ++j) q4[2 + j] = static_cast<std::byte>(j | ((15 - j) << 4));
  float out[256];
  DequantizeRow(DType::kQ4_0, q4.data(), 32, out);
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(out[j], 0.5F * static_cast<float>(j - 8));
    EXPECT_EQ(out[j + 16], 0.5F * static_cast<float>(7 - j));
  }
  std::vector<std::byte> mx(17);
  mx[0] = std::byte{129};
  for (size_t j = 0; j < 16; ++j) mx[1 + j] = static_cast<std::byte>(j);
  DequantizeRow(DType::kMXFP4, mx.data(), 32, out);
  const float e2m1[16] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, 0, -0.5F, -1, -1.5F, -2, -3, -4, -6};
  for (int j = 0; j < 16; ++j) EXPECT_EQ(out[j], 4 * e2m1[j]);
  // q4_k: sub-block 5 gets scale 37 and min 41 (both above 4 bits), everything else zero.
  std::vector<std::byte> k(144);
  const uint16_t one = F32ToF16(1.0F);
  std::memcpy(k.data(), &one, 2);
  std::memcpy(k.data() + 2, &one, 2);
  k[4 + 9] = static_cast<std::byte>((37 & 15) | ((41 & 15) << 4));
  k[4 + 1] = static_cast<std::byte>((37 >> 4) << 6);
  k[4 + 5] = static_cast<std::byte>((41 >> 4) << 6);
  for (size_t i = 16; i < 144; ++i) k[i] = std::byte{0x31};
  DequantizeRow(DType::kQ4K, k.data(), 256, out);
  for (int e = 0; e < 256; ++e) EXPECT_EQ(out[e], e / 32 == 5 ? 37.0F * 3 - 41 : 0.0F) << e;
}

// tests/golden/quant/<type>.bin: u32 number of elements, the row's bytes, the elements in f32. Written by
// tools/golden/quant_golden.py with the decoder of the format's own Python package.
TEST(Dequantize, EqualsTheReferenceDecoder) {
  for (const DType type : kBlockTypes) {
    const auto path = std::filesystem::path("tests/golden/quant") / (std::string(Info(type).name) + ".bin");
    auto file = os::MappedFile::Open(path);
    ASSERT_TRUE(file.has_value()) << file.error().ToString();
    const auto bytes = (*file)->bytes();
    uint32_t n;
    ASSERT_GE(bytes.size(), sizeof(n));
    std::memcpy(&n, bytes.data(), sizeof(n));
    const size_t row_bytes = RowBytes(type, n);
    ASSERT_EQ(bytes.size(), 4 + row_bytes + 4 * size_t{n});
    std::vector<float> expected(n);
    std::memcpy(expected.data(), bytes.data() + 4 + row_bytes, 4 * size_t{n});
    std::vector<float> out(n);
    DequantizeRow(type, bytes.data() + 4, n, out.data());
    // The reference writes the same formulas in f32; the last bit may differ where it groups a product differently.
    for (uint32_t i = 0; i < n; ++i) {
      ASSERT_NEAR(out[i], expected[i], 3e-7 * std::fabs(static_cast<double>(expected[i])) + 1e-6 * 0.02)
          << Info(type).name << " element " << i;
    }
  }
}

TEST(Matrix, ConversionKeepsWhatTheHeaderPromises) {
  for (const DType type : kBlockTypes) {
    const auto bytes = RandomWeights(type, 5, 512, 77);
    const auto m = Matrix::Prepare(type, 5, 512, bytes);
    ASSERT_TRUE(m.has_value()) << m.error().ToString();
    EXPECT_EQ(m->stored_type(), type);
    std::vector<float> expected(512), got(512);
    for (int64_t r = 0; r < 5; ++r) {
      DequantizeRow(type, bytes.data() + static_cast<size_t>(r) * RowBytes(type, 512), 512, expected.data());
      m->ReadRow(r, got.data());
      for (size_t i = 0; i < 512; ++i) {
        const double allowed = PromisedLoss(type) * std::fabs(static_cast<double>(expected[i]));
        ASSERT_LE(std::fabs(static_cast<double>(got[i]) - static_cast<double>(expected[i])),
                  allowed == 0 ? 0 : allowed + std::ldexp(1.0, -24) * 127)
            << Info(type).name << " row " << r << " element " << i;
      }
    }
  }
}

TEST(Matrix, ShapesThatDoNotFitAreErrors) {
  const std::vector<std::byte> bytes(4096);
  const auto code = [&](DType type, int64_t rows, int64_t cols, size_t n) {
    const auto m = Matrix::Prepare(type, rows, cols, std::span(bytes).first(n));
    return m.has_value() ? std::string("none") : std::string(CodeName(m.error().code()));
  };
  EXPECT_EQ(code(DType::kQ4K, 1, 256, 144), "none");
  EXPECT_EQ(code(DType::kQ4K, 1, 255, 144), "invalid_argument");
  EXPECT_EQ(code(DType::kQ4K, 1, 256, 143), "invalid_argument");
  EXPECT_EQ(code(DType::kF32, 0, 4, 0), "invalid_argument");
  EXPECT_EQ(code(DType::kF32, -1, 4, 16), "invalid_argument");
  EXPECT_EQ(code(DType::kF32, int64_t{1} << 60, int64_t{1} << 60, 16), "invalid_argument");
  EXPECT_EQ(code(DType::kF8E4M3, 1, 4, 4), "unsupported");
  EXPECT_EQ(code(DType::kI32, 1, 4, 16), "unsupported");
  std::vector<std::byte> mx(17);
  mx[0] = std::byte{200};
  EXPECT_FALSE(Matrix::Prepare(DType::kMXFP4, 1, 32, mx).has_value());
}

TEST(Matrix, SlicesShareRows) {
  const auto bytes = RandomWeights(DType::kIQ4NL, 40, 64, 1);
  const auto m = Matrix::Prepare(DType::kIQ4NL, 40, 64, bytes);
  ASSERT_TRUE(m.has_value());
  const Matrix slice = m->Slice(16, 24);
  EXPECT_EQ(slice.rows(), 24);
  EXPECT_EQ(slice.group(0), m->group(1));
}

}  // namespace
}  // namespace quern::kernels
