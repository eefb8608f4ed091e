// A fast 64-bit checksum against damage by accident (torn files, flipped bits). Not against an attacker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quern {

// Of all bytes in order, however they are cut into Adds. The value is part of file formats: it never changes.
//
// Definition: words of 8 bytes, little-endian, go in turn to four lanes; a lane takes a word by
// lane = rotl(lane ^ word * kWordPrime, 29) * kLanePrime (modulo 2^64; without the first product, the top bits of one
// word could undo those of the word before). The end fills the last 32 bytes up with zeros, takes them, mixes the
// number of bytes and the lanes in order the same way, and folds h ^= h >> 32.
class Checksum {
 public:
  void Add(std::span<const std::byte> bytes);
  uint64_t Value() const;

 private:
  static constexpr size_t kBlock = 32;
  uint64_t lanes_[4] = {1, 2, 3, 4};
  uint64_t n_bytes_ = 0;
  std::byte rest_[kBlock] = {};
  size_t n_rest_ = 0;
};

uint64_t ChecksumOf(std::span<const std::byte> bytes);

}  // namespace quern
