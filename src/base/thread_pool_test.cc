#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace quern {
namespace {

TEST(ThreadPool, RunsEveryPieceExactlyOnce) {
  for (int n_threads : {1, 2, 5}) {
    ThreadPool pool(n_threads);
    for (size_t n_pieces : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(n_pieces);
      pool.ParallelFor(n_pieces, [&](size_t piece, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, n_threads);
        hits[piece].fetch_add(1);
      });
      for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
    }
  }
}

TEST(ThreadPool, ManyShortLoopsInARowAllFinish) {
  ThreadPool pool(3);
  std::atomic<int> total{0};
  for (int i = 0; i < 5000; ++i) pool.ParallelFor(4, [&](size_t, int) { total.fetch_add(1); });
  EXPECT_EQ(total.load(), 20000);
}

// Loops of changing size and body, with pauses long enough for workers to fall asleep, more threads than CPUs, and a
// neighbour that keeps the CPUs busy: late workers must neither miss a loop nor run a piece of one that is gone.
TEST(ThreadPool, LateWorkersTouchOnlyTheLoopThatRuns) {
  std::atomic<bool> stop{false};
  std::thread neighbour([&] {
    while (!stop.load(std::memory_order_relaxed)) {
    }
  });
  ThreadPool pool(6);
  for (int loop = 0; loop < 2000; ++loop) {
    const size_t n_pieces = static_cast<size_t>(2 + loop % 17);
    std::vector<int> hits(n_pieces, 0);  // plain ints: a piece run twice or after the loop is a race for tsan
    pool.ParallelFor(n_pieces, [&](size_t piece, int) { hits[piece] += loop + 1; });
    for (const int hit : hits) ASSERT_EQ(hit, loop + 1);
    if (loop % 200 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  stop.store(true);
  neighbour.join();
}

TEST(ThreadPool, ScratchOfAThreadIsItsOwn) {
  ThreadPool pool(4);
  std::vector<int> busy(4, 0);
  for (int loop = 0; loop < 300; ++loop) {
    pool.ParallelFor(64, [&](size_t, int thread) {
      ++busy[static_cast<size_t>(thread)];
      --busy[static_cast<size_t>(thread)];
    });
  }
  for (const int b : busy) EXPECT_EQ(b, 0);
}

TEST(ThreadPool, OffersAtLeastOneThread) { EXPECT_GE(ThreadPool::AvailableThreads(), 1); }

}  // namespace
}  // namespace quern
