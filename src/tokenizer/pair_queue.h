// Neighbouring pairs of a long piece that wait to be joined, taken out by lowest rank, then by lowest position. Two
// forms: PairHeap takes ranks in any order at log n each; PairBuckets needs them not to fall behind and is linear.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quern::tokenizer {

struct WaitingPair {
  uint32_t rank;
  uint32_t position;
};

// A binary heap. One caller at a time, like PairBuckets.
class PairHeap {
 public:
  // Empties the queue; ranks pushed from now on are below n_ranks.
  void Reset(size_t n_ranks);
  void Push(WaitingPair pair);
  // False when the queue is empty.
  bool Pop(WaitingPair& pair);
  // Gives memory back.
  void Release();

 private:
  std::vector<uint64_t> heap_;  // rank << 32 | position
};

// A list of positions per rank, and a bit per rank that has one. The list of the lowest rank is put in order when its
// turn comes. Time: linear in the number of pairs, plus n_ranks / 64.
class PairBuckets {
 public:
  void Reset(size_t n_ranks);
  // After the first Pop, only ranks above the one popped last.
  void Push(WaitingPair pair);
  bool Pop(WaitingPair& pair);
  void Release();

 private:
  struct Node {
    uint32_t position;
    uint32_t next;
  };

  bool NextBucket();
  void SortCurrent();

  std::vector<uint32_t> heads_;      // by rank; valid where the bit is set
  std::vector<uint64_t> has_pairs_;  // a bit per rank
  std::vector<Node> nodes_;
  uint32_t free_ = 0;                       // list of nodes to use again
  std::vector<uint32_t> current_, sorted_;  // positions of current_rank_, in order; room for sorting
  size_t n_taken_ = 0;                      // of current_
  uint32_t current_rank_ = 0;
};

}  // namespace quern::tokenizer
