#include "base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <chrono>
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

// How long a worker polls for the next loop before it sleeps: a decode step issues loops every few tens of
// microseconds, and a futex wake-up costs about as much as such a loop. Longer polling would take time from other
// processes.
constexpr std::chrono::microseconds kSpinTime{100};
constexpr int kSpinsPerClockRead = 32;

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Which loop is running (high half, counts up) and its next piece (low half).
constexpr uint64_t kOneLoop = uint64_t{1} << 32;
constexpr uint64_t kPieceMask = kOneLoop - 1;
constexpr uint64_t kClosed = kPieceMask;  // a piece number that no loop has

}  // namespace

// A loop is over when its pieces are done, not when every worker has looked: a worker that another process keeps off
// the CPU delays nobody unless it holds a piece. So a worker may arrive late, with the numbers of a loop that is gone;
// it then fails to take a piece, because `work` has moved on:
//   the caller   closes `work` under the next loop's number, then writes body and n_pieces, then opens `work`;
//   a worker     reads `work`, then body and n_pieces, then takes the piece by compare-and-swap on `work`.
// Had it read a newer body, it would also see the closed `work`, and the swap fails.
struct ThreadPool::Impl {
  using Body = std::function<void(size_t, int)>;

  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<int> n_sleeping{0};
  std::atomic<bool> stopping{false};
  std::atomic<uint64_t> work{kClosed};
  std::atomic<const Body*> body{nullptr};
  std::atomic<size_t> n_pieces{0};
  std::atomic<size_t> n_done{0};

  void RunPieces(int thread) {
    for (;;) {
      uint64_t seen = work.load(std::memory_order_acquire);
      const Body* run = body.load(std::memory_order_acquire);
      const uint64_t piece = seen & kPieceMask;
      if (piece == kClosed || piece >= n_pieces.load(std::memory_order_acquire)) return;
      if (!work.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
      (*run)(piece, thread);
      n_done.fetch_add(1, std::memory_order_release);
    }
  }

  bool HasWork(uint64_t finished_loop) const {
    const uint64_t seen = work.load(std::memory_order_seq_cst);
    return stopping.load(std::memory_order_acquire) ||
           (seen / kOneLoop != finished_loop && (seen & kPieceMask) != kClosed);
  }

  void WaitForLoop(uint64_t finished_loop) {
    const auto until = std::chrono::steady_clock::now() + kSpinTime;
    do {
      for (int spin = 0; spin < kSpinsPerClockRead; ++spin) {
        if (HasWork(finished_loop)) return;
        CpuRelax();
      }
    } while (std::chrono::steady_clock::now() < until);
    std::unique_lock lock(mutex);
    n_sleeping.fetch_add(1, std::memory_order_seq_cst);
    wake.wait(lock, [&] { return HasWork(finished_loop); });
    n_sleeping.fetch_sub(1, std::memory_order_relaxed);
  }

  void Worker(int thread) {
    uint64_t finished_loop = 0;
    for (;;) {
      WaitForLoop(finished_loop);
      if (stopping.load(std::memory_order_acquire)) return;
      const uint64_t seen = work.load(std::memory_order_acquire);
      if ((seen & kPieceMask) == kClosed) continue;
      finished_loop = seen / kOneLoop;
      RunPieces(thread);
    }
  }

  void WakeSleepers() {
    // Either a worker counts itself before this load, or it sees the new work before it sleeps.
    if (n_sleeping.load(std::memory_order_seq_cst) == 0) return;
    { std::lock_guard lock(mutex); }
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
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping.store(true, std::memory_order_release);
  }
  impl_->wake.notify_all();
  for (auto& thread : impl_->threads) thread.join();
}

int ThreadPool::n_threads() const { return static_cast<int>(impl_->threads.size()) + 1; }

void ThreadPool::ParallelFor(size_t n_pieces, const std::function<void(size_t, int)>& body) {
  if (impl_->threads.empty() || n_pieces <= 1) {
    for (size_t piece = 0; piece < n_pieces; ++piece) body(piece, 0);
    return;
  }
  QUERN_CHECK(n_pieces < kClosed);
  const uint64_t loop = (impl_->work.load(std::memory_order_relaxed) / kOneLoop + 1) * kOneLoop;
  impl_->work.store(loop | kClosed, std::memory_order_seq_cst);
  impl_->body.store(&body, std::memory_order_release);
  impl_->n_pieces.store(n_pieces, std::memory_order_release);
  impl_->n_done.store(0, std::memory_order_relaxed);
  impl_->work.store(loop, std::memory_order_seq_cst);
  impl_->WakeSleepers();
  impl_->RunPieces(0);
  const auto until = std::chrono::steady_clock::now() + kSpinTime;
  bool patient = true;
  while (impl_->n_done.load(std::memory_order_acquire) != n_pieces) {
    if (patient) {
      for (int spin = 0; spin < kSpinsPerClockRead; ++spin) CpuRelax();
      patient = std::chrono::steady_clock::now() < until;
    } else {
      std::this_thread::yield();  // whoever holds the last piece may need this very CPU
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
