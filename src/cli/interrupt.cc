#include "cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace quern::cli {
namespace {

std::atomic<int> g_interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");

// The handler writes a byte so that poll() wakes even when the signal came just before it.
std::array<int, 2> g_pipe = {-1, -1};

void Count(int) {
  const int saved = errno;
  g_interrupts.fetch_add(1, std::memory_order_relaxed);
  [[maybe_unused]] const ssize_t n = write(g_pipe[1], "", 1);
  errno = saved;
}

}  // namespace

void CatchInterrupts() {
  if (pipe2(g_pipe.data(), O_NONBLOCK | O_CLOEXEC) != 0) return;  // then Ctrl-C ends the program as usual
  struct sigaction action;
  std::memset(&action, 0, sizeof(action));
  action.sa_handler = Count;
  sigaction(SIGINT, &action, nullptr);
}

int TakeInterrupts() {
  char drain[64];
  while (g_pipe[0] >= 0 && read(g_pipe[0], drain, sizeof(drain)) > 0) {
  }
  return g_interrupts.exchange(0, std::memory_order_relaxed);
}

void WaitForInputOrInterrupt(int fd) {
  // A negative descriptor is passed over by poll().
  std::array<pollfd, 2> wanted = {{{fd, POLLIN, 0}, {g_pipe[0], POLLIN, 0}}};
  poll(wanted.data(), wanted.size(), -1);
}

}  // namespace quern::cli
