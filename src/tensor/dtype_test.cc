#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

namespace quern {
namespace {

TEST(DType, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float value = F16ToF32(static_cast<uint16_t>(h));
    if (std::isnan(value)) continue;
    ASSERT_EQ(F32ToF16(value), h);
  }
}

TEST(DType, HalfRoundsToNearestEven) {
  EXPECT_EQ(F32ToF16(1.0F + std::ldexp(1.0F, -11)), 0x3C00);      // tie to even
  EXPECT_EQ(F32ToF16(1.0F + 3 * std::ldexp(1.0F, -11)), 0x3C02);  // tie to even, upwards
  EXPECT_EQ(F32ToF16(65519.0F), 0x7BFF);
  EXPECT_EQ(F32ToF16(65520.0F), 0x7C00);
  EXPECT_EQ(F32ToF16(std::ldexp(1.0F, -25)), 0);  // half of the smallest, tie to even
  EXPECT_TRUE(std::isnan(F16ToF32(F32ToF16(NAN))));
}

TEST(DType, EveryBf16SurvivesTheRoundTrip) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float value = Bf16ToF32(static_cast<uint16_t>(h));
    if (std::isnan(value)) continue;
    ASSERT_EQ(F32ToBf16(value), h);
  }
  EXPECT_EQ(F32ToBf16(std::bit_cast<float>(0x3F808000U)), 0x3F80);  // tie to even
  EXPECT_EQ(F32ToBf16(std::bit_cast<float>(0x3F818000U)), 0x3F82);
}

TEST(DType, RowBytesFollowTheBlocks) {
  EXPECT_EQ(RowBytes(DType::kQ4K, 512), 288U);
  EXPECT_EQ(RowBytes(DType::kQ8_0, 64), 68U);
  EXPECT_EQ(RowBytes(DType::kBF16, 3), 6U);
}

}  // namespace
}  // namespace quern
