// Byte-pair encoding of one piece of text: begin with one token per byte, join the neighbouring pair of lowest rank
// (leftmost on ties) until no pair has a rank.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/pair_queue.h"
#include "tokenizer/tokenizer.h"

namespace quern::tokenizer {

// One line of the merge list, by ids; its rank is its place in the list.
struct Merge {
  TokenId left;
  TokenId right;
  TokenId joined;
};

// A piece of at most 15 bytes as two words: the bytes, zero padded, and the length in the last byte.
struct ShortPiece {
  uint64_t lo;
  uint64_t hi;
  bool operator==(const ShortPiece&) const = default;
};

// Working memory and the cache of one caller at a time. Reused between calls; Trim() gives back what one huge
// piece made it take.
class BpeScratch {
 public:
  BpeScratch();
  void Trim();

  // Times a pair was taken from the queue of a long piece since construction: what its cost is proportional to.
  uint64_t n_queue_steps() const { return n_queue_steps_; }

 private:
  friend class BpeModel;

  static constexpr size_t kCacheSlots = 1 << 14;
  static constexpr size_t kCacheIds = 11;
  struct CacheSlot {  // one cache line
    ShortPiece key{0, 0};
    int32_t n_ids = 0;
    TokenId ids[kCacheIds] = {};
  };

  std::unique_ptr<CacheSlot[]> cache_;  // direct mapped; a collision overwrites
  // Long pieces: a linked list of tokens by position, and the pairs that wait to be joined.
  std::vector<uint32_t> ids_, previous_, next_, ranks_;
  PairHeap heap_;
  PairBuckets buckets_;
  uint64_t n_queue_steps_ = 0;
};

// The tables. Immutable after construction, thread-safe with one BpeScratch per thread.
class BpeModel {
 public:
  // byte_ids: the token of each byte. token_bytes: by id, views that outlive the model. Every id in merges is
  // below token_bytes.size() and no pair occurs twice.
  BpeModel(const std::array<TokenId, 256>& byte_ids, std::span<const Merge> merges,
           std::span<const std::string_view> token_bytes);

  // Appends the ids of a piece. Time: linear in its length if ranks_rise(), otherwise n log n.
  void Encode(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& out) const;

  // Whether every token is made by merges of lower rank than all that use it, as in every file that a trainer wrote.
  bool ranks_rise() const { return ranks_rise_; }

 private:
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;
  struct PairSlot {
    uint64_t pair;
    uint32_t rank;
    uint32_t joined;
  };
  struct WholeSlot {
    ShortPiece key;
    TokenId id;
  };
  struct LongSlot {
    uint64_t hash;
    TokenId id;
  };

  // Rank of the pair and the token it becomes; rank kNoRank when there is none.
  PairSlot Find(uint32_t left, uint32_t right) const;
  void EncodeSmall(std::string_view piece, std::vector<TokenId>& out) const;
  template <class Queue>
  void EncodeLarge(std::string_view piece, Queue& queue, BpeScratch& scratch, std::vector<TokenId>& out) const;
  void Merged(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& out) const;
  TokenId FindWhole(const ShortPiece& key, uint64_t hash) const;
  TokenId FindLongWhole(std::string_view piece) const;
  bool RanksRise(std::span<const Merge> merges) const;
  void RememberWholeTokens();

  std::array<TokenId, 256> byte_ids_;
  std::vector<PairSlot> pairs_;
  std::vector<uint32_t> byte_pair_ranks_;  // [256 * 256], by bytes
  std::vector<TokenId> joined_;            // by rank
  bool ranks_rise_ = false;
  std::span<const std::string_view> token_bytes_;
  // Tokens that BPE yields for their own bytes, and only those: a hit here is the answer.
  std::vector<WholeSlot> whole_;
  std::vector<LongSlot> long_whole_;  // longer than ShortPiece holds
  size_t longest_whole_ = 0;
};

}  // namespace quern::tokenizer
