// A small vocabulary for tests: the 256 bytes, what the given merges make, and the added tokens of the Qwen family that
// tests need.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"

namespace quern::tokenizer {

// merges: pairs of byte strings, in rank order.
inline VocabularySpec TestVocabulary(const std::vector<std::pair<std::string_view, std::string_view>>& merges) {
  VocabularySpec spec;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    spec.tokens.push_back(SpellingOfBytes(std::string_view(&byte, 1)));
  }
  for (const auto& [left, right] : merges) {
    spec.merges.emplace_back(SpellingOfBytes(left), SpellingOfBytes(right));
    const std::string joined = spec.merges.back().first + spec.merges.back().second;
    bool known = false;
    for (const std::string& token : spec.tokens) known = known || token == joined;
    if (!known) spec.tokens.push_back(joined);
  }
  auto id = static_cast<TokenId>(spec.tokens.size());
  for (const auto& [text, special] : {std::pair("<|im_start|>", true), std::pair("<|im_end|>", true),
                                      std::pair("<tool_call>", false), std::pair("<|im_end|><", false)}) {
    spec.added.push_back({id++, text, special});
  }
  return spec;
}

}  // namespace quern::tokenizer
