#include "kernels/kv_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/fixed16.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

struct Bound {
  KvType type;
  double bits;     // per value
  float of_value;  // error relative to the value
  float of_group;  // and to the largest of its group
};
// Half a unit in the last place of the type; of q8 and q4 half a step, and the rounding of the scale to f16.
constexpr Bound kBounds[] = {
    {KvType::kF32, 32, 0, 0},
    {KvType::kF16, 16, 0x1p-11F, 0x1p-25F},
    {KvType::kBF16, 16, 0x1p-8F, 0},
    {KvType::kQ8, 8.5, 0x1p-10F, 0.5F / 127 * 1.01F},
    {KvType::kQ4, 4.5, 0x1p-10F, 1.0F / 8 * 1.01F},  // a whole step at the end that has one value less
};

TEST(KvLayout, BytesAreThoseOfTheValuesAndTheirScales) {
  for (const Bound& b : kBounds) {
    const KvLayout layout{.types = {b.type, b.type}, .page_tokens = 32, .n_kv_heads = 4, .head_dim = 128};
    EXPECT_EQ(static_cast<double>(layout.key_page_bytes()), 32 * 4 * 128 * b.bits / 8);
    EXPECT_EQ(layout.value_page_bytes(), layout.key_page_bytes());
  }
  const KvLayout layout{.types = {KvType::kI16, KvType::kI16}, .page_tokens = 32, .n_kv_heads = 4, .head_dim = 128};
  EXPECT_EQ(layout.key_page_bytes(), 32 * 4 * (128 * 2 + 4));
}

TEST(KvLayout, WhatIsStoredReadsBackWithinTheTypesRounding) {
  for (const Bound& b : kBounds) {
    for (const int head_dim : {2, 20, 64, 128}) {
      const KvLayout layout{.types = {b.type, b.type}, .page_tokens = 32, .n_kv_heads = 3, .head_dim = head_dim};
      const auto width = static_cast<size_t>(3 * head_dim);
      std::vector<std::byte> keys(layout.key_page_bytes()), values(layout.value_page_bytes());
      const auto x = NormalFloats(32 * width, 7);
      // Every slot, twice: the second write replaces the first, and leaves the neighbours alone.
      for (int slot = 0; slot < 32; ++slot) {
        StoreKeys(layout, keys.data(), slot, x.data() + static_cast<size_t>(31 - slot) * width);
        StoreValues(layout, values.data(), slot, x.data() + static_cast<size_t>(31 - slot) * width);
      }
      for (int slot = 0; slot < 32; ++slot) {
        StoreKeys(layout, keys.data(), slot, x.data() + static_cast<size_t>(slot) * width);
        StoreValues(layout, values.data(), slot, x.data() + static_cast<size_t>(slot) * width);
      }
      std::vector<float> k(width), v(width);
      for (int slot = 0; slot < 32; ++slot) {
        LoadKeys(layout, keys.data(), slot, k.data());
        LoadValues(layout, values.data(), slot, v.data());
        ASSERT_EQ(k, v) << KvTypeName(b.type) << ": keys and values round alike";
        for (size_t i = 0; i < width; ++i) {
          const size_t head = i / static_cast<size_t>(head_dim) * static_cast<size_t>(head_dim);
          const size_t first = head + (i - head) / kKvGroup * kKvGroup;
          const size_t end = std::min(first + kKvGroup, head + static_cast<size_t>(head_dim));
          float largest = 0;
          for (size_t j = first; j < end; ++j) {
            largest = std::max(largest, std::fabs(x[static_cast<size_t>(slot) * width + j]));
          }
          const float exact = x[static_cast<size_t>(slot) * width + i];
          ASSERT_LE(std::fabs(k[i] - exact), b.of_value * std::fabs(exact) + b.of_group * largest)
              << KvTypeName(b.type) << " head_dim " << head_dim << " slot " << slot << " dim " << i;
        }
      }
    }
  }
}

// Largest by norm, or by one element.
std::vector<float> Outliers(size_t n, float factor) {
  auto x = NormalFloats(n, 11);
  x[n / 3] *= factor;
  x[n / 2] *= -factor;
  return x;
}

float Norm(const std::vector<float>& x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return static_cast<float>(std::sqrt(sum));
}

// What was lost of x, read back as type.
std::vector<float> Lost(KvType type, const std::vector<float>& x) {
  const KvLayout layout{
      .types = {type, type}, .page_tokens = 32, .n_kv_heads = 1, .head_dim = static_cast<int>(x.size())};
  std::vector<std::byte> keys(layout.key_page_bytes()), values(layout.value_page_bytes());
  std::vector<float> k(x.size()), v(x.size());
  StoreKeys(layout, keys.data(), 3, x.data());
  StoreValues(layout, values.data(), 3, x.data());
  LoadKeys(layout, keys.data(), 3, k.data());
  LoadValues(layout, values.data(), 3, v.data());
  EXPECT_EQ(k, v) << KvTypeName(type) << ": keys and values round alike";
  for (size_t i = 0; i < x.size(); ++i) k[i] -= x[i];
  return k;
}

TEST(KvLayout, IntegersOf16BitsLoseLessThanF16May) {
  for (const size_t head_dim : {2, 20, 64, 128, 256, 512}) {
    for (const float factor : {1.0F, 10.0F, 100.0F, 3000.0F}) {
      const auto x = Outliers(head_dim, factor);
      const float lost = Norm(Lost(KvType::kI16, x)) / Norm(x);
      EXPECT_LE(lost, std::sqrt(static_cast<float>(head_dim)) / 2 / 32767 * 1.01F) << head_dim << ", by " << factor;
      EXPECT_LT(lost, 0x1p-11F) << head_dim << ", outliers by " << factor;
      if (factor < 100 && head_dim > 2) {
        EXPECT_LT(lost, Norm(Lost(KvType::kF16, x)) / Norm(x)) << head_dim << ", outliers by " << factor;
      }
    }
  }
}

// The largest sum of products that two heads can have: it must not leave 32 bits.
TEST(KvLayout, ProductsOf16BitIntegersStayBelow32Bits) {
  for (const size_t n : {1, 2, 3, 32, 128, 512}) {
    for (const float spread : {0.0F, 1e-6F, 1e-3F, 1.0F}) {
      auto x = NormalFloats(n, 13);
      for (float& v : x) v = 1 + spread * v;
      const Fixed16 fixed(x.data(), n);
      int64_t sum = 0;
      for (const float v : x) sum += int64_t{fixed.Of(v)} * fixed.Of(v);
      EXPECT_LE(sum, std::numeric_limits<int32_t>::max()) << n << " around 1, by " << spread;
    }
  }
}

TEST(KvLayout, NothingFiniteIsStoredAsInfinity) {
  for (const KvType type : {KvType::kI16, KvType::kF16, KvType::kQ8, KvType::kQ4}) {
    const KvLayout layout{.types = {type, type}, .page_tokens = 32, .n_kv_heads = 1, .head_dim = 32};
    std::vector<std::byte> page(layout.key_page_bytes());
    std::vector<float> x(32, std::numeric_limits<float>::max());
    x[1] = -x[0];
    StoreKeys(layout, page.data(), 0, x.data());
    LoadKeys(layout, page.data(), 0, x.data());
    for (const float v : x) EXPECT_TRUE(std::isfinite(v)) << KvTypeName(type);
    EXPECT_LT(x[1], 0);
  }
}

}  // namespace
}  // namespace quern::kernels
