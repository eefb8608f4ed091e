// A fixed set of threads that run the pieces of one loop together. The model's forward pass is the only heavy user:
// one caller at a time hands over a loop, helps running it, and returns when all pieces are done.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace quern {

// Owned by whoever runs the engine; passed by reference to kernels. Not thread-safe: one ParallelFor at a time.
class ThreadPool {
 public:
  // n_threads >= 1 counts the calling thread; 1 starts no thread at all.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const;

  // Calls body(piece, thread) once for every piece in [0, n_pieces), in any order, on up to n_threads threads, with
  // thread in [0, n_threads) naming scratch space that no other running piece uses. Returns when all are done.
  // body must not throw and must not call ParallelFor. Results must not depend on which thread ran a piece.
  void ParallelFor(size_t n_pieces, const std::function<void(size_t piece, int thread)>& body);

  // Threads that this machine gives to this process (CPU affinity and cgroup quota considered), at least 1.
  static int AvailableThreads();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
