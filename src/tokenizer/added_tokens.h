// Finds added tokens in raw text: leftmost first, longest at a position.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace quern::tokenizer {

// Immutable and thread-safe after construction.
class AddedTokenFinder {
 public:
  // Texts are not empty and no two are equal.
  explicit AddedTokenFinder(std::span<const AddedToken> tokens);

  struct Match {
    size_t begin;
    size_t end;
    TokenId id;
  };

  // First match at or after `from` that overlaps no range of literal; begin == text.size() and id -1 when there is
  // none. literal: sorted, disjoint; n_passed counts its ranges that end at or before `from` and is kept by the caller
  // between calls (0 at first). Time: length of the text times length of the longest token.
  Match Next(std::string_view text, size_t from, std::span<const ByteRange> literal, size_t& n_passed) const;

  // Id of the token with this text, or -1.
  TokenId Find(std::string_view text) const;

 private:
  struct Entry {
    std::string text;
    TokenId id;
  };

  // Longest token that text begins with at `at` and that ends at or before limit; null when there is none.
  const Entry* LongestAt(std::string_view text, size_t at, size_t limit) const;

  std::vector<Entry> sorted_;              // by text
  std::array<bool, 256> is_first_byte_{};  // of any token
  int only_first_byte_ = -1;               // when all tokens begin with the same byte
};

}  // namespace quern::tokenizer
