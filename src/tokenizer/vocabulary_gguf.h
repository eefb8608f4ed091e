// The vocabulary of a GGUF file: its metadata arrays -> VocabularySpec.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace quern::tokenizer {

// What the keys tokenizer.ggml.* of the file say; views into the caller's metadata.
struct GgufVocabulary {
  std::string_view model;                    // "gpt2"
  std::string_view pre;                      // "qwen2"
  std::span<const std::string_view> tokens;  // by id
  std::span<const int32_t> types;            // by id: 1 normal, 3 control, 4 user-defined, 5 unused
  std::span<const std::string_view> merges;  // "left right", in rank order
};

// Control and user-defined tokens become added tokens. Control tokens are special, except the ones for code completion,
// which GGUF files mark as control and the original files do not. Unused rows have no text.
// Errors: kUnsupported (another model, pre-tokeniser or token type), kCorrupt (lengths differ), kExhausted.
Result<VocabularySpec> SpecFromGguf(const GgufVocabulary& vocabulary);

}  // namespace quern::tokenizer
