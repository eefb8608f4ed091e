#include "base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"

namespace quern {
namespace {

// Workers poll this often before they sleep: a decode step issues loops every few tens of microseconds, and a futex
// wake-up costs about as much as such a loop.
constexpr int kSpinsBeforeSleep = 4000;

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

struct ThreadPool::Impl {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<uint64_t> generation{0};  // odd-even free: bumped once per loop
  std::atomic<bool> stopping{false};
  std::atomic<size_t> next_piece{0};
  std::atomic<int> n_running{0};
  size_t n_pieces = 0;
  const std::function<void(size_t, int)>* body = nullptr;

  void RunPieces(int thread) {
    for (;;) {
      const size_t piece = next_piece.fetch_add(1, std::memory_order_relaxed);
      if (piece >= n_pieces) return;
      (*body)(piece, thread);
    }
  }

  void WaitForLoop(uint64_t seen) {
    for (int spin = 0; spin < kSpinsBeforeSleep; ++spin) {
      if (generation.load(std::memory_order_acquire) != seen) return;
      CpuRelax();
    }
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
  }

  void Worker(int thread) {
    uint64_t seen = 0;
    for (;;) {
      WaitForLoop(seen);
      seen = generation.load(std::memory_order_acquire);
      if (stopping.load(std::memory_order_acquire)) return;
      RunPieces(thread);
      n_running.fetch_sub(1, std::memory_order_release);
    }
  }

  void Announce() {
    {
      std::lock_guard lock(mutex);
      generation.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int n_threads) : impl_(std::make_unique<Impl>()) {
  QUERN_CHECK(n_threads >= 1);
  for (int i = 1; i < n_threads; ++i) {
    impl_->threads.emplace_back([this, i] { impl_->Worker(i); });
  }
}

ThreadPool::~ThreadPool() {
  impl_->stopping.store(true, std::memory_order_release);
  impl_->Announce();
  for (auto& thread : impl_->threads) thread.join();
}

int ThreadPool::n_threads() const { return static_cast<int>(impl_->threads.size()) + 1; }

void ThreadPool::ParallelFor(size_t n_pieces, const std::function<void(size_t, int)>& body) {
  if (impl_->threads.empty() || n_pieces <= 1) {
    for (size_t piece = 0; piece < n_pieces; ++piece) body(piece, 0);
    return;
  }
  impl_->body = &body;
  impl_->n_pieces = n_pieces;
  impl_->next_piece.store(0, std::memory_order_relaxed);
  impl_->n_running.store(static_cast<int>(impl_->threads.size()), std::memory_order_relaxed);
  impl_->Announce();
  impl_->RunPieces(0);
  for (int spin = 0; impl_->n_running.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpinsBeforeSleep) {
      CpuRelax();
    } else {
      std::this_thread::yield();
    }
  }
}

namespace {

// cgroup v2 quota in whole CPUs (rounded up), or 0 when there is none.
int CgroupCpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  const double cpus = std::strtod(quota.c_str(), nullptr) / period;
  return cpus > 0 ? static_cast<int>(cpus + 0.999) : 0;
}

}  // namespace

int ThreadPool::AvailableThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int n = 0;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) n = CPU_COUNT(&set);
  if (n < 1) n = static_cast<int>(std::thread::hardware_concurrency());
  if (const int quota = CgroupCpus(); quota > 0 && quota < n) n = quota;
  return n < 1 ? 1 : n;
}

}  // namespace quern
