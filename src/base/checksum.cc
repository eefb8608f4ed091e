#include "base/checksum.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace quern {
namespace {

constexpr uint64_t kLanePrime = 0x9E3779B185EBCA87;
constexpr uint64_t kWordPrime = 0xC2B2AE3D27D4EB4F;

uint64_t Mix(uint64_t lane, uint64_t word) { return std::rotl(lane ^ (word * kWordPrime), 29) * kLanePrime; }

void TakeBlock(uint64_t (&lanes)[4], const std::byte* block) {
  for (size_t i = 0; i < 4; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, block + 8 * i, sizeof(word));
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    lanes[i] = Mix(lanes[i], word);
  }
}

}  // namespace

void Checksum::Add(std::span<const std::byte> bytes) {
  n_bytes_ += bytes.size();
  if (n_rest_ > 0) {
    const size_t n = std::min(kBlock - n_rest_, bytes.size());
    std::copy_n(bytes.begin(), n, rest_ + n_rest_);
    n_rest_ += n;
    bytes = bytes.subspan(n);
    if (n_rest_ < kBlock) return;
    TakeBlock(lanes_, rest_);
    n_rest_ = 0;
  }
  for (; bytes.size() >= kBlock; bytes = bytes.subspan(kBlock)) TakeBlock(lanes_, bytes.data());
  std::ranges::copy(bytes, rest_);
  n_rest_ = bytes.size();
}

uint64_t Checksum::Value() const {
  uint64_t lanes[4] = {lanes_[0], lanes_[1], lanes_[2], lanes_[3]};
  std::byte last[kBlock] = {};
  std::copy_n(rest_, n_rest_, last);
  TakeBlock(lanes, last);
  uint64_t hash = Mix(0, n_bytes_);
  for (const uint64_t lane : lanes) hash = Mix(hash, lane);
  return hash ^ (hash >> 32U);
}

uint64_t ChecksumOf(std::span<const std::byte> bytes) {
  Checksum sum;
  sum.Add(bytes);
  return sum.Value();
}

}  // namespace quern
