// Test double: one token per byte (ids 0..255) and two added tokens, "<|im_end|>" = 256 and "<|endoftext|>" = 257.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace quern::engine {

class FakeTokenizer final : public tokenizer::Tokenizer {
 public:
  static constexpr TokenId kImEnd = 256;
  static constexpr TokenId kEndOfText = 257;

  FakeTokenizer() : added_{{kImEnd, "<|im_end|>", true}, {kEndOfText, "<|endoftext|>", true}} {
    for (int i = 0; i < 256; ++i) bytes_.push_back(std::string(1, static_cast<char>(i)));
    for (const auto& token : added_) bytes_.push_back(token.text);
  }

  std::vector<TokenId> Encode(std::string_view text, const tokenizer::EncodeOptions& = {}) const override {
    std::vector<TokenId> ids;
    for (size_t at = 0; at < text.size();) {
      const auto hit = std::find_if(added_.begin(), added_.end(),
                                    [&](const auto& token) { return text.substr(at).starts_with(token.text); });
      ids.push_back(hit == added_.end() ? static_cast<unsigned char>(text[at]) : hit->id);
      at += hit == added_.end() ? 1 : hit->text.size();
    }
    return ids;
  }
  std::string DecodeBytes(std::span<const TokenId> ids, bool skip_special) const override {
    std::string text;
    for (TokenId id : ids) {
      if (!skip_special || !IsSpecial(id)) text += TokenBytes(id);
    }
    return text;
  }
  std::string_view TokenBytes(TokenId id) const override {
    return id >= 0 && id < vocab_size() ? std::string_view(bytes_[static_cast<size_t>(id)]) : std::string_view();
  }
  TokenId AddedTokenId(std::string_view text) const override {
    for (const auto& token : added_) {
      if (token.text == text) return token.id;
    }
    return -1;
  }
  bool IsAdded(TokenId id) const override { return id == kImEnd || id == kEndOfText; }
  bool IsSpecial(TokenId id) const override { return IsAdded(id); }
  std::span<const tokenizer::AddedToken> added_tokens() const override { return added_; }
  int vocab_size() const override { return 258; }

 private:
  std::vector<tokenizer::AddedToken> added_;
  std::vector<std::string> bytes_;
};

}  // namespace quern::engine
