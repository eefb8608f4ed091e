// A vocabulary's tokens, found by their bytes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace quern::grammar {

// True for tokens that are no text: special ones, and added ones written "<|...|>".
bool IsControlToken(const tokenizer::Tokenizer& tokenizer, int32_t id);

// Of the tokens that are text and not empty. Immutable; any thread. Some 20 bytes for each token, and a sort to build.
class TokenIndex {
 public:
  explicit TokenIndex(std::shared_ptr<const tokenizer::Tokenizer> tokenizer);

  // All of them, in the order of their bytes.
  std::span<const int32_t> ids() const { return ids_; }
  // Those that begin with prefix; those that are equal to it first.
  std::span<const int32_t> WithPrefix(std::string_view prefix) const;
  // Those that are equal to bytes.
  std::span<const int32_t> Equal(std::string_view bytes) const;
  // The token of this byte alone, or -1.
  int32_t OfByte(char byte) const { return of_byte_[static_cast<unsigned char>(byte)]; }

  // Of any token of the vocabulary.
  std::string_view BytesOf(int32_t id) const { return tokenizer_->TokenBytes(id); }

 private:
  std::span<const int32_t> Between(std::string_view first, std::string_view prefix) const;

  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  std::vector<int32_t> ids_;
  std::vector<std::string_view> bytes_;  // [ids_.size()], theirs
  std::array<int32_t, 256> of_byte_;
};

}  // namespace quern::grammar
