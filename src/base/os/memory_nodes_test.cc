#include "base/os/memory_nodes.h"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "base/os/large_memory.h"

namespace quern::os {
namespace {

// Of the page at address, or of the calling thread; -1 where the system does not tell.
int PolicyOf(void* address) {
  int mode = -1;
  return ::syscall(SYS_get_mempolicy, &mode, nullptr, 0, address, address != nullptr ? MPOL_F_ADDR : 0) == 0 ? mode
                                                                                                             : -1;
}

TEST(MemoryNodes, ReadsTheSystemsLists) {
  EXPECT_EQ(ParseNumberList("0"), std::vector{0});
  EXPECT_EQ(ParseNumberList("0-2,5"), (std::vector{0, 1, 2, 5}));
  EXPECT_EQ(ParseNumberList("1,3-3"), (std::vector{1, 3}));
  EXPECT_EQ(ParseNumberList("2,x"), std::vector{2});
  for (const char* none : {"", "x", "-1", "3-1", "5000", "0-99999999999"}) {
    EXPECT_TRUE(ParseNumberList(none).empty()) << none;
  }
  EXPECT_FALSE(MemoryNodes().empty());
}

// On a machine with one node this proves the calls, not the speed.
TEST(MemoryNodes, SpreadMemoryIsAskedForInTurn) {
  const auto memory = LargeMemory::Create(size_t{8} << 20).value();
  if (!SpreadMemory(memory->bytes(), MemoryNodes())) {
    EXPECT_EQ(PolicyOf(memory->bytes().data()), -1) << "a system without policies refuses both";
    return;
  }
  EXPECT_EQ(PolicyOf(memory->bytes().data()), MPOL_INTERLEAVE);
  memory->bytes()[0] = std::byte{1};  // and it can be used
  EXPECT_EQ(memory->bytes()[0], std::byte{1});
}

TEST(MemoryNodes, AThreadsReadsAreItsOwn) {
  const int before = PolicyOf(nullptr);
  std::thread([] {
    const bool spread = SpreadReadsOfThisThread(MemoryNodes());
    EXPECT_EQ(PolicyOf(nullptr) == MPOL_INTERLEAVE, spread);
  }).join();
  EXPECT_EQ(PolicyOf(nullptr), before);
}

}  // namespace
}  // namespace quern::os
