// Which of several endpoints gets a request: the one that has read the longest beginning of its prompt already, as long
// as that leaves none with much more than its share of the load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"

namespace quern::upstream {

inline constexpr size_t kMaxEndpoints = 64;

// Hashes of beginnings of a prompt, shortest first: closely spaced at its start, wider further on. A conversation's
// next turn has those of the turn before, and then its own.
std::vector<uint64_t> PrefixKeys(std::span<const engine::TokenId> prompt);

// Remembers which endpoints were sent which beginnings. What was not asked for long is forgotten. One owner.
class PrefixTable {
 public:
  explicit PrefixTable(size_t max_entries) : max_entries_(max_entries) {}

  // Bit i: endpoint i was sent the beginning with this key.
  uint64_t Find(uint64_t key) const;
  void Add(uint64_t key, size_t endpoint);
  size_t size() const { return young_.size() + old_.size(); }

 private:
  size_t max_entries_;
  // Entries of old_ move to young_ when they are asked for again; when young_ is full it takes old_'s place.
  std::unordered_map<uint64_t, uint64_t> young_, old_;
};

struct Candidate {
  bool usable = false;
  int n_running = 0;  // requests under way there
  int weight = 1;     // >= 1
};

// One owner.
class Chooser {
 public:
  // max_entries: beginnings remembered, some 50 bytes each.
  explicit Chooser(size_t max_entries = size_t{1} << 16) : table_(max_entries) {}

  // The usable candidate with the most keys in a row sent before and room in its share; without any, the least loaded
  // for its weight. None when no candidate is usable. What was chosen is remembered.
  std::optional<size_t> Pick(std::span<const uint64_t> keys, std::span<const Candidate> candidates);

 private:
  PrefixTable table_;
  // Among equally loaded ones, requests are dealt out by weight: each takes 1 / weight of its endpoint's time, and the
  // one that would be done first is next, of several the one that has been idle for longer. Idle endpoints save nothing
  // up.
  std::vector<double> done_at_;
  double now_ = 0;
};

}  // namespace quern::upstream
