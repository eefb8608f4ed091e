#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
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

TEST(ThreadPool, OffersAtLeastOneThread) { EXPECT_GE(ThreadPool::AvailableThreads(), 1); }

}  // namespace
}  // namespace quern
