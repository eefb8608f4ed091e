#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace quern::tokenizer {
namespace {

constexpr uint64_t kEmptyPair = ~uint64_t{0};
constexpr size_t kShortPieceBytes = 15;
// Up to here the quadratic scan of a small array beats the heap (both measured on source code).
constexpr size_t kSmallPieceBytes = 64;
// Buckets look at a bit of every rank once per piece, which a shorter piece would not repay.
constexpr size_t kBucketPieceBytes = 4096;
// Positions are 32-bit. A longer piece is encoded in parts, which only matters for a single word of this size.
constexpr size_t kLargestPieceBytes = size_t{1} << 30;
constexpr size_t kKeepScratchElements = size_t{1} << 18;

uint64_t Mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD6E8FEB86659FD93u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t HashBytes(std::string_view bytes) {
  uint64_t hash = bytes.size();
  while (!bytes.empty()) {
    uint64_t word = 0;
    const size_t n = std::min<size_t>(8, bytes.size());
    std::memcpy(&word, bytes.data(), n);
    hash = Mix(hash, word);
    bytes.remove_prefix(n);
  }
  return hash;
}

uint64_t HashPair(uint64_t pair) {
  pair *= 0x9E3779B97F4A7C15u;
  return pair ^ (pair >> 32);
}

uint64_t HashShort(const ShortPiece& key) { return Mix(key.lo, key.hi); }

ShortPiece MakeShort(std::string_view piece) {
  ShortPiece key{0, 0};
  if (piece.size() <= 8) {
    std::memcpy(&key.lo, piece.data(), piece.size());
  } else {
    std::memcpy(&key.lo, piece.data(), 8);
    std::memcpy(&key.hi, piece.data() + 8, piece.size() - 8);
  }
  key.hi |= static_cast<uint64_t>(piece.size()) << 56;
  return key;
}

// Slots for n entries at a load of at most one half.
size_t TableSize(size_t n) { return std::bit_ceil(std::max<size_t>(8, 2 * n)); }

uint64_t PairKey(uint32_t left, uint32_t right) { return static_cast<uint64_t>(left) << 32 | right; }

}  // namespace

BpeScratch::BpeScratch() : cache_(std::make_unique<CacheSlot[]>(kCacheSlots)) {}

void BpeScratch::Trim() {
  if (ids_.capacity() <= kKeepScratchElements) return;
  ids_ = {};
  previous_ = {};
  next_ = {};
  ranks_ = {};
  heap_.Release();
  buckets_.Release();
}

BpeModel::BpeModel(const std::array<TokenId, 256>& byte_ids, std::span<const Merge> merges,
                   std::span<const std::string_view> token_bytes)
    : byte_ids_(byte_ids), byte_pair_ranks_(size_t{256} * 256, kNoRank), token_bytes_(token_bytes) {
  pairs_.assign(TableSize(merges.size()), PairSlot{kEmptyPair, kNoRank, 0});
  joined_.reserve(merges.size());
  const size_t mask = pairs_.size() - 1;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& m = merges[rank];
    const uint64_t key = PairKey(static_cast<uint32_t>(m.left), static_cast<uint32_t>(m.right));
    size_t at = HashPair(key) & mask;
    while (pairs_[at].pair != kEmptyPair) {
      QUERN_CHECK(pairs_[at].pair != key);
      at = (at + 1) & mask;
    }
    pairs_[at] = {key, static_cast<uint32_t>(rank), static_cast<uint32_t>(m.joined)};
    joined_.push_back(m.joined);
  }
  for (size_t left = 0; left < 256; ++left) {
    for (size_t right = 0; right < 256; ++right) {
      byte_pair_ranks_[left << 8 | right] =
          Find(static_cast<uint32_t>(byte_ids_[left]), static_cast<uint32_t>(byte_ids_[right])).rank;
    }
  }
  ranks_rise_ = RanksRise(merges);
  RememberWholeTokens();
}

BpeModel::PairSlot BpeModel::Find(uint32_t left, uint32_t right) const {
  const uint64_t key = PairKey(left, right);
  const size_t mask = pairs_.size() - 1;
  size_t at = HashPair(key) & mask;
  while (pairs_[at].pair != key) {
    if (pairs_[at].pair == kEmptyPair) return {key, kNoRank, 0};
    at = (at + 1) & mask;
  }
  return pairs_[at];
}

bool BpeModel::RanksRise(std::span<const Merge> merges) const {
  std::vector<size_t> first_use(token_bytes_.size(), merges.size());
  for (size_t rank = merges.size(); rank-- > 0;) {
    first_use[static_cast<size_t>(merges[rank].left)] = rank;
    first_use[static_cast<size_t>(merges[rank].right)] = rank;
  }
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    if (first_use[static_cast<size_t>(merges[rank].joined)] <= rank) return false;
  }
  return true;
}

void BpeModel::RememberWholeTokens() {
  BpeScratch scratch;
  std::vector<TokenId> ids;
  std::vector<TokenId> whole;
  size_t n_long = 0;
  for (size_t id = 0; id < token_bytes_.size(); ++id) {
    const std::string_view bytes = token_bytes_[id];
    if (bytes.empty()) continue;
    ids.clear();
    Merged(bytes, scratch, ids);
    if (ids.size() != 1 || ids[0] != static_cast<TokenId>(id)) continue;
    whole.push_back(static_cast<TokenId>(id));
    longest_whole_ = std::max(longest_whole_, bytes.size());
    if (bytes.size() > kShortPieceBytes) ++n_long;
  }
  whole_.assign(TableSize(whole.size() - n_long), WholeSlot{{0, 0}, -1});
  long_whole_.assign(TableSize(n_long), LongSlot{0, -1});
  for (const TokenId id : whole) {  // frequent tokens have small ids, so they get the first slots
    const std::string_view bytes = token_bytes_[static_cast<size_t>(id)];
    if (bytes.size() > kShortPieceBytes) {
      const uint64_t hash = HashBytes(bytes);
      size_t at = hash & (long_whole_.size() - 1);
      while (long_whole_[at].id >= 0) at = (at + 1) & (long_whole_.size() - 1);
      long_whole_[at] = {hash, id};
    } else {
      const ShortPiece key = MakeShort(bytes);
      size_t at = HashShort(key) & (whole_.size() - 1);
      while (whole_[at].id >= 0) at = (at + 1) & (whole_.size() - 1);
      whole_[at] = {key, id};
    }
  }
}

TokenId BpeModel::FindWhole(const ShortPiece& key, uint64_t hash) const {
  const size_t mask = whole_.size() - 1;
  for (size_t at = hash & mask; whole_[at].id >= 0; at = (at + 1) & mask) {
    if (whole_[at].key == key) return whole_[at].id;
  }
  return -1;
}

TokenId BpeModel::FindLongWhole(std::string_view piece) const {
  if (piece.size() > longest_whole_) return -1;
  const uint64_t hash = HashBytes(piece);
  const size_t mask = long_whole_.size() - 1;
  for (size_t at = hash & mask; long_whole_[at].id >= 0; at = (at + 1) & mask) {
    if (long_whole_[at].hash == hash && token_bytes_[static_cast<size_t>(long_whole_[at].id)] == piece) {
      return long_whole_[at].id;
    }
  }
  return -1;
}

void BpeModel::Encode(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& out) const {
  if (piece.size() <= kShortPieceBytes) [[likely]] {
    const ShortPiece key = MakeShort(piece);
    const uint64_t hash = HashShort(key);
    if (const TokenId id = FindWhole(key, hash); id >= 0) {
      out.push_back(id);
      return;
    }
    BpeScratch::CacheSlot& slot = scratch.cache_[(hash >> 32) & (BpeScratch::kCacheSlots - 1)];
    if (slot.key == key) {
      out.insert(out.end(), slot.ids, slot.ids + slot.n_ids);
      return;
    }
    const size_t before = out.size();
    EncodeSmall(piece, out);
    const size_t n = out.size() - before;
    if (n <= BpeScratch::kCacheIds) {
      slot.key = key;
      slot.n_ids = static_cast<int32_t>(n);
      std::copy(out.begin() + static_cast<ptrdiff_t>(before), out.end(), slot.ids);
    }
    return;
  }
  if (const TokenId id = FindLongWhole(piece); id >= 0) {
    out.push_back(id);
    return;
  }
  Merged(piece, scratch, out);
}

void BpeModel::EncodeSmall(std::string_view piece, std::vector<TokenId>& out) const {
  uint32_t ids[kSmallPieceBytes];
  uint32_t ranks[kSmallPieceBytes];  // ranks[i] is that of the pair (i, i + 1)
  size_t n = piece.size();
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(piece[i]); };
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<uint32_t>(byte_ids_[byte(i)]);
  for (size_t i = 0; i + 1 < n; ++i) {
    ranks[i] = byte_pair_ranks_[static_cast<size_t>(byte(i)) << 8 | byte(i + 1)];
  }
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNoRank) break;
    ids[best] = static_cast<uint32_t>(joined_[ranks[best]]);
    --n;
    std::memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof(ids[0]));
    std::memmove(ranks + best, ranks + best + 1, (n - best - 1) * sizeof(ranks[0]));
    if (best > 0) ranks[best - 1] = Find(ids[best - 1], ids[best]).rank;
    if (best + 1 < n) ranks[best] = Find(ids[best], ids[best + 1]).rank;
  }
  for (size_t i = 0; i < n; ++i) out.push_back(static_cast<TokenId>(ids[i]));
}

template <class Queue>
void BpeModel::EncodeLarge(std::string_view piece, Queue& queue, BpeScratch& s, std::vector<TokenId>& out) const {
  constexpr uint32_t kNone = 0xFFFFFFFF;
  const auto n = static_cast<uint32_t>(piece.size());
  s.ids_.resize(n);
  s.previous_.resize(n);
  s.next_.resize(n);
  s.ranks_.resize(n);
  queue.Reset(joined_.size());
  const auto byte = [&](uint32_t i) { return static_cast<uint8_t>(piece[i]); };
  for (uint32_t i = 0; i < n; ++i) {
    s.ids_[i] = static_cast<uint32_t>(byte_ids_[byte(i)]);
    s.previous_[i] = i == 0 ? kNone : i - 1;
    s.next_[i] = i + 1 == n ? kNone : i + 1;
    s.ranks_[i] = i + 1 == n ? kNoRank : byte_pair_ranks_[static_cast<size_t>(byte(i)) << 8 | byte(i + 1)];
    if (s.ranks_[i] != kNoRank) queue.Push({s.ranks_[i], i});
  }

  const auto renew = [&](uint32_t at) {
    const uint32_t after = s.next_[at];
    s.ranks_[at] = after == kNone ? kNoRank : Find(s.ids_[at], s.ids_[after]).rank;
    if (s.ranks_[at] != kNoRank) queue.Push({s.ranks_[at], at});
  };
  for (WaitingPair pair; queue.Pop(pair);) {
    ++s.n_queue_steps_;
    const uint32_t at = pair.position;
    if (s.ranks_[at] != pair.rank) continue;  // the pair is gone or another one now
    const uint32_t gone = s.next_[at];
    s.ids_[at] = static_cast<uint32_t>(joined_[pair.rank]);
    s.next_[at] = s.next_[gone];
    if (s.next_[at] != kNone) s.previous_[s.next_[at]] = at;
    s.ranks_[gone] = kNoRank;
    renew(at);
    if (s.previous_[at] != kNone) renew(s.previous_[at]);
  }
  for (uint32_t i = 0; i != kNone; i = s.next_[i]) out.push_back(static_cast<TokenId>(s.ids_[i]));
}

void BpeModel::Merged(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& out) const {
  if (piece.size() <= kSmallPieceBytes) {
    EncodeSmall(piece, out);
    return;
  }
  while (!piece.empty()) {
    const std::string_view part = piece.substr(0, kLargestPieceBytes);
    if (ranks_rise_ && part.size() >= kBucketPieceBytes) {
      EncodeLarge(part, scratch.buckets_, scratch, out);
    } else {
      EncodeLarge(part, scratch.heap_, scratch, out);
    }
    piece.remove_prefix(part.size());
  }
}

}  // namespace quern::tokenizer
