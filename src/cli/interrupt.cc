#include "cli/interrupt.h"

#include <csignal>
#include <cstring>

#include <atomic>

namespace quern::cli {
namespace {

std::atomic<int> g_interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");

void Count(int) { g_interrupts.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

void CatchInterrupts() {
  struct sigaction action;
  std::memset(&action, 0, sizeof(action));
  action.sa_handler = Count;  // without SA_RESTART, so that a waiting read() comes back
  sigaction(SIGINT, &action, nullptr);
}

int TakeInterrupts() { return g_interrupts.exchange(0, std::memory_order_relaxed); }

}  // namespace quern::cli
