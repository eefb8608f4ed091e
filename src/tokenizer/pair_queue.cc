#include "tokenizer/pair_queue.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

namespace quern::tokenizer {
namespace {

constexpr uint32_t kNoNode = 0xFFFFFFFF;
// Below this many positions a comparison sort is faster than four passes of counting.
constexpr size_t kSortByCounting = 256;

}  // namespace

void PairHeap::Reset(size_t) { heap_.clear(); }

void PairHeap::Push(WaitingPair pair) {
  heap_.push_back(static_cast<uint64_t>(pair.rank) << 32 | pair.position);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

bool PairHeap::Pop(WaitingPair& pair) {
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
  pair = {static_cast<uint32_t>(heap_.back() >> 32), static_cast<uint32_t>(heap_.back())};
  heap_.pop_back();
  return true;
}

void PairHeap::Release() { heap_ = {}; }

void PairBuckets::Reset(size_t n_ranks) {
  heads_.resize(n_ranks);
  has_pairs_.assign(n_ranks / 64 + 1, 0);
  nodes_.clear();
  free_ = kNoNode;
  current_.clear();
  n_taken_ = 0;
  current_rank_ = 0;
}

void PairBuckets::Push(WaitingPair pair) {
  uint64_t& word = has_pairs_[pair.rank / 64];
  const uint64_t bit = uint64_t{1} << (pair.rank % 64);
  const uint32_t next = (word & bit) != 0 ? heads_[pair.rank] : kNoNode;
  word |= bit;
  if (free_ == kNoNode) {
    heads_[pair.rank] = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({pair.position, next});
  } else {
    heads_[pair.rank] = free_;
    free_ = nodes_[free_].next;
    nodes_[heads_[pair.rank]] = {pair.position, next};
  }
}

bool PairBuckets::Pop(WaitingPair& pair) {
  if (n_taken_ == current_.size() && !NextBucket()) return false;
  pair = {current_rank_, current_[n_taken_++]};
  return true;
}

// Moves the list of the lowest waiting rank into current_.
bool PairBuckets::NextBucket() {
  size_t word = current_rank_ / 64;
  while (word < has_pairs_.size() && has_pairs_[word] == 0) ++word;
  current_.clear();
  n_taken_ = 0;
  if (word == has_pairs_.size()) return false;
  const auto bit = static_cast<uint32_t>(std::countr_zero(has_pairs_[word]));
  has_pairs_[word] &= has_pairs_[word] - 1;
  current_rank_ = static_cast<uint32_t>(word) * 64 + bit;
  for (uint32_t node = heads_[current_rank_]; node != kNoNode;) {
    current_.push_back(nodes_[node].position);
    const uint32_t next = nodes_[node].next;
    nodes_[node].next = free_;
    free_ = node;
    node = next;
  }
  std::reverse(current_.begin(), current_.end());  // a list is built from its end, mostly in order
  SortCurrent();
  return true;
}

void PairBuckets::SortCurrent() {
  if (std::is_sorted(current_.begin(), current_.end())) return;
  if (current_.size() < kSortByCounting) {
    std::sort(current_.begin(), current_.end());
    return;
  }
  sorted_.resize(current_.size());
  for (int shift = 0; shift < 32; shift += 8) {
    std::array<size_t, 257> starts{};
    for (const uint32_t position : current_) ++starts[(position >> shift & 0xFF) + 1];
    for (size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
    for (const uint32_t position : current_) sorted_[starts[position >> shift & 0xFF]++] = position;
    current_.swap(sorted_);
  }
}

void PairBuckets::Release() { *this = {}; }

}  // namespace quern::tokenizer
