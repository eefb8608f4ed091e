#include "api/ids.h"

#include <fmt/format.h>

#include <chrono>
#include <random>

namespace quern::api {

namespace {

std::mt19937_64& Generator() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return generator;
}

}  // namespace

std::string NewUuid() {
  const uint64_t a = Generator()();
  const uint64_t b = Generator()();
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", a >> 32, (a >> 16) & 0xFFFF, a & 0xFFF,
                     ((b >> 48) & 0x3FFF) | 0x8000, b & 0xFFFFFFFFFFFFULL);
}

std::string NewHexId() {
  const uint64_t a = Generator()();
  const uint64_t b = Generator()();
  return fmt::format("{:016x}{:08x}", a, b & 0xFFFFFFFF);
}

uint64_t RandomSeed() { return Generator()(); }

int64_t UnixSecondsNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace quern::api
