#include "kernels/packing.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/matrix.h"
#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

// Every bit of every field is random, so that nothing can be lost unseen.
std::vector<std::byte> RandomBits(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

TEST(Packing, RowsComeBackBitForBit) {
  for (const DType type : ComputeTypes()) {
    for (const int64_t blocks : {1, 2, 3, 9}) {
      for (const int n_rows : {1, 5, 16}) {
        const int64_t cols = blocks * Info(type).block_elements;
        const size_t row_bytes = RowBytes(type, cols);
        const auto rows = RandomBits(static_cast<size_t>(n_rows) * row_bytes, 3);
        std::vector<std::byte> group(PackedGroupBytes(type, cols) + 64, std::byte{0xAB});
        const Misaligned source(rows, 3);
        alignas(64) std::byte* aligned = group.data() + (64 - reinterpret_cast<uintptr_t>(group.data()) % 64) % 64;
        PackGroup(type, source.span().data(), n_rows, row_bytes, cols, aligned);
        std::vector<std::byte> back(row_bytes);
        for (int r = 0; r < n_rows; ++r) {
          UnpackRow(type, aligned, r, cols, back.data());
          ASSERT_TRUE(std::equal(back.begin(), back.end(), rows.begin() + static_cast<ptrdiff_t>(r * row_bytes)))
              << Info(type).name << " cols " << cols << " row " << r << " of " << n_rows;
        }
      }
    }
  }
}

TEST(Packing, TakesNoMoreThanTheFile) {
  for (const DType type : ComputeTypes()) {
    const size_t stored = 2048 * RowBytes(type, 2048);
    const size_t packed = PackedBytes(type, 2048, 2048);
    EXPECT_GE(packed, stored);
    EXPECT_LE(static_cast<double>(packed), 1.01 * static_cast<double>(stored)) << Info(type).name;
    EXPECT_EQ(PackedGroupBytes(type, 768) % 64, 0U);
  }
}

TEST(Packing, ThreadsArenasAndKeptBytesGiveTheSameMatrix) {
  ThreadPool pool(3);
  for (const DType type : {DType::kQ4K, DType::kQ6K, DType::kIQ4XS, DType::kQ2K, DType::kBF16}) {
    const auto bytes = RandomWeights(type, 100, 768, 5);
    const auto alone = Matrix::Prepare(type, 100, 768, bytes);
    ASSERT_TRUE(alone.has_value());
    PackedArena arena;
    const auto together = Matrix::Prepare(type, 100, 768, bytes, {.arena = &arena, .pool = &pool});
    ASSERT_TRUE(together.has_value());
    EXPECT_TRUE(std::ranges::equal(alone->packed(), together->packed()));
    const auto kept = Matrix::FromPacked(type, 100, 768, alone->packed());
    ASSERT_TRUE(kept.has_value()) << kept.error().ToString();
    EXPECT_EQ(kept->type(), alone->type());
    std::vector<float> a(768), b(768);
    alone->ReadRow(99, a.data());
    kept->ReadRow(99, b.data());
    EXPECT_EQ(a, b);
    EXPECT_FALSE(Matrix::FromPacked(type, 101, 768, alone->packed().first(64)).has_value());
    EXPECT_FALSE(Matrix::FromPacked(type, 96, 768, alone->packed().subspan(1)).has_value());
  }
}

}  // namespace
}  // namespace quern::kernels
