#include "base/checksum.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace quern {
namespace {

std::vector<std::byte> RandomBytes(size_t n) {
  std::mt19937 random(3);
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

TEST(Checksum, DoesNotDependOnTheCuts) {
  const auto bytes = RandomBytes(1000);
  const uint64_t whole = ChecksumOf(bytes);
  for (size_t piece = 1; piece < 100; ++piece) {
    Checksum sum;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      sum.Add(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    }
    EXPECT_EQ(sum.Value(), whole) << piece;
  }
}

TEST(Checksum, EveryBitAndEveryLengthCounts) {
  auto bytes = RandomBytes(129);
  std::set<uint64_t> seen;
  for (size_t n = 0; n <= bytes.size(); ++n) seen.insert(ChecksumOf(std::span(bytes).first(n)));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    seen.insert(ChecksumOf(bytes));
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  }
  EXPECT_EQ(seen.size(), bytes.size() + 1 + bytes.size() * 8);
}

// Written into files: these values may never change. They come from a computation apart, by the definition in the
// header.
TEST(Checksum, IsTheOneOfTheFormat) {
  EXPECT_EQ(ChecksumOf({}), 0xf4ff1861d5d4f85aU);
  EXPECT_EQ(ChecksumOf(std::as_bytes(std::span("quern", 5))), 0xb912617bc0eae3edU);
  std::vector<std::byte> counting(100);
  for (size_t i = 0; i < counting.size(); ++i) counting[i] = static_cast<std::byte>(i);
  EXPECT_EQ(ChecksumOf(counting), 0x49e532ff462fd86fU);
}

}  // namespace
}  // namespace quern
