#include "engine/random.h"

#include <array>

namespace quern::engine {
namespace {

// Multipliers and key increments of the paper.
constexpr uint32_t kMul0 = 0xD2511F53;
constexpr uint32_t kMul1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9;
constexpr uint32_t kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> block, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t a = uint64_t{kMul0} * block[0];
    const uint64_t b = uint64_t{kMul1} * block[2];
    block = {static_cast<uint32_t>(b >> 32) ^ block[1] ^ key0, static_cast<uint32_t>(b),
             static_cast<uint32_t>(a >> 32) ^ block[3] ^ key1, static_cast<uint32_t>(a)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return block;
}

}  // namespace

double UniformAt(uint64_t seed, uint64_t counter) {
  const auto block = Philox({static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0},
                            static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  const uint64_t bits = (uint64_t{block[0]} << 32) | block[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace quern::engine
