#include "upstream/chooser.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace quern::upstream {
namespace {

// An endpoint may run a quarter more than its share before a prompt that it knows goes elsewhere.
constexpr double kSlack = 1.25;

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15ULL;
  return hash ^ (hash >> 29);
}

// Tokens to the next beginning that is remembered, after n of them.
size_t StepAfter(size_t n) { return n < 1024 ? 64 : n < 8192 ? 256 : 1024; }

}  // namespace

std::vector<uint64_t> PrefixKeys(std::span<const engine::TokenId> prompt) {
  std::vector<uint64_t> keys;
  uint64_t hash = 0x51ED270B7A3C9F1DULL;
  size_t next = StepAfter(0);
  for (size_t i = 0; i < prompt.size(); ++i) {
    hash = Mix(hash, static_cast<uint64_t>(static_cast<uint32_t>(prompt[i])));
    if (i + 1 < next) continue;
    keys.push_back(hash);
    next += StepAfter(next);
  }
  return keys;
}

uint64_t PrefixTable::Find(uint64_t key) const {
  if (const auto it = young_.find(key); it != young_.end()) return it->second;
  const auto it = old_.find(key);
  return it == old_.end() ? 0 : it->second;
}

void PrefixTable::Add(uint64_t key, size_t endpoint) {
  if (!young_.contains(key) && young_.size() >= std::max<size_t>(1, max_entries_ / 2)) {
    old_ = std::move(young_);
    young_.clear();
  }
  const uint64_t known = Find(key);
  young_[key] = known | uint64_t{1} << endpoint;
  old_.erase(key);
}

std::optional<size_t> Chooser::Pick(std::span<const uint64_t> keys, std::span<const Candidate> candidates) {
  const size_t n = std::min(candidates.size(), kMaxEndpoints);
  int n_running = 1;  // the request at hand
  int weights = 0;
  uint64_t usable = 0;
  for (size_t i = 0; i < n; ++i) {
    if (!candidates[i].usable) continue;
    usable |= uint64_t{1} << i;
    n_running += candidates[i].n_running;
    weights += candidates[i].weight;
  }
  if (usable == 0) return std::nullopt;
  const auto has_room = [&](size_t i) {
    const double share = static_cast<double>(n_running) * candidates[i].weight / weights;
    return candidates[i].n_running < std::max(1.0, kSlack * share);
  };
  // Whoever has the n-th beginning and not the ones before has forgotten them, so the set only shrinks.
  uint64_t known = usable;
  uint64_t best = 0;
  for (size_t i = 0; i < n; ++i) {
    if (!has_room(i)) known &= ~(uint64_t{1} << i);
  }
  for (const uint64_t key : keys) {
    known &= table_.Find(key);
    if (known == 0) break;
    best = known;
  }
  if (best == 0) best = usable;
  done_at_.resize(std::max(done_at_.size(), n), 0);
  const auto rank = [&](size_t i) {
    const double weight = candidates[i].weight;
    return std::tuple(candidates[i].n_running / weight, std::max(done_at_[i], now_) + 1 / weight, done_at_[i]);
  };
  std::optional<size_t> chosen;
  for (size_t i = 0; i < n; ++i) {
    if ((best >> i & 1) != 0 && (!chosen || rank(i) < rank(*chosen))) chosen = i;
  }
  now_ = std::max(done_at_[*chosen], now_);
  done_at_[*chosen] = std::get<1>(rank(*chosen));
  for (const uint64_t key : keys) table_.Add(key, *chosen);
  return chosen;
}

}  // namespace quern::upstream
