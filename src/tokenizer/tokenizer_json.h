// Reads a Hugging Face tokenizer.json. Tokenizer::FromJson is what most callers want; the vocabulary alone is for
// writing it in another format.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace quern::tokenizer {

// Limits on what a vocabulary may hold, whatever file it came from. The largest known files of this family have 152k
// tokens, 152k merges and 11 MB.
inline constexpr size_t kMaxJsonBytes = size_t{64} << 20;
inline constexpr size_t kMaxTokens = size_t{1} << 20;
inline constexpr size_t kMaxMerges = size_t{1} << 20;
inline constexpr size_t kMaxTokenBytes = 4096;  // of a token's spelling
inline constexpr size_t kMaxAddedTokens = 4096;
inline constexpr size_t kMaxAddedTokenBytes = 256;
inline constexpr size_t kMaxJsonDepth = 16;
inline constexpr size_t kMaxJsonValues = kMaxTokens + 3 * kMaxMerges + 16 * kMaxAddedTokens;

// Only what this tokenizer does is accepted: BPE, NFC, the pre-tokeniser of pre_tokenizer.h, byte level.
Result<VocabularySpec> ReadTokenizerJson(std::string_view json);

}  // namespace quern::tokenizer
