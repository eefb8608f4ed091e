#include "base/os/resident_memory.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/os/large_memory.h"

namespace quern::os {
namespace {

constexpr size_t kMuch = size_t{256} << 20;
constexpr size_t kNoise = size_t{64} << 20;  // what else the process and its tests' tools may take or give back

TEST(ResidentMemory, ThePeakKeepsWhatIsGone) {
  ForgetPeakResident();
  const size_t before = ResidentBytes();
  EXPECT_GT(before, 0U);
  {
    const auto memory = LargeMemory::Create(kMuch).value();
    for (std::byte& b : memory->bytes()) b = std::byte{1};
    EXPECT_GT(ResidentBytes(), before + kMuch - kNoise);
  }
  EXPECT_LT(ResidentBytes(), before + kNoise);
  EXPECT_GT(PeakResidentBytes(), before + kMuch - kNoise);
  ForgetPeakResident();
  EXPECT_LT(PeakResidentBytes(), before + kNoise);
}

}  // namespace
}  // namespace quern::os
