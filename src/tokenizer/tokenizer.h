// Text <-> token ids: the byte-level BPE of the Qwen models. Pipeline of Encode: split out added tokens by exact match
// (longest first) -> Unicode NFC -> pre-tokenise -> BPE by merge rank. No BOS or EOS is ever added.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace quern::tokenizer {

using TokenId = int32_t;

// A token that is matched as a whole in raw text before anything else happens.
struct AddedToken {
  TokenId id;
  std::string text;
  bool special;  // dropped by decoding with skip_special; "<tool_call>" and the FIM tokens are not special
};

// What a vocabulary file says, independent of the file's format. tokens[id] is in the GPT-2 byte alphabet for
// ordinary tokens and literal text for added ones.
struct VocabularySpec {
  std::vector<std::string> tokens;
  std::vector<std::pair<std::string, std::string>> merges;  // in rank order
  std::vector<AddedToken> added;
};

// Half-open range of bytes in a text.
struct ByteRange {
  size_t begin;
  size_t end;
};

enum class AddedTokens {
  kMatch,   // added tokens in the text become their ids (prompts, templates)
  kIgnore,  // they are ordinary text
};

struct EncodeOptions {
  AddedTokens added = AddedTokens::kMatch;
  // With kMatch: an added token that overlaps one of these ranges is ordinary text. Sorted, disjoint. This is how
  // text that users wrote cannot forge control tokens inside a rendered template.
  std::span<const ByteRange> literal = {};
};

// Immutable and thread-safe after construction.
class Tokenizer {
 public:
  // From the bytes of a Hugging Face tokenizer.json. Errors: kCorrupt, kUnsupported (another model, normaliser or
  // pre-tokeniser than the one implemented; the message names it), kExhausted (a limit).
  static Result<std::shared_ptr<const Tokenizer>> FromJson(std::string_view json);

  // From GGUF metadata or anything else that yields a VocabularySpec. Same errors.
  static Result<std::shared_ptr<const Tokenizer>> FromSpec(VocabularySpec spec);

  virtual ~Tokenizer() = default;

  // Ids of text. Never fails: invalid UTF-8 bytes are treated as U+FFFD. Time is linear in the text's length.
  virtual std::vector<TokenId> Encode(std::string_view text, const EncodeOptions& options = {}) const = 0;

  // Bytes of the tokens, joined; may be invalid UTF-8 when the ids cut a character. Unknown ids give nothing.
  virtual std::string DecodeBytes(std::span<const TokenId> ids, bool skip_special) const = 0;

  // Bytes of one token; empty for an id without text (padding rows).
  virtual std::string_view TokenBytes(TokenId id) const = 0;

  // Added token with exactly this text, or -1.
  virtual TokenId AddedTokenId(std::string_view text) const = 0;
  virtual bool IsAdded(TokenId id) const = 0;
  virtual bool IsSpecial(TokenId id) const = 0;
  virtual std::span<const AddedToken> added_tokens() const = 0;

  // One more than the largest id that has text; model rows from here on are padding.
  virtual int vocab_size() const = 0;
};

// Turns a stream of tokens into a stream of whole UTF-8 characters. One per generation; one caller at a time. Keeps the
// tokenizer alive.
class StreamDecoder {
 public:
  StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

  // Text that became complete with this token; always valid UTF-8, possibly empty. Bytes that can never become a
  // character come out as U+FFFD.
  std::string Push(TokenId id);

  // What is still held back, as U+FFFD when incomplete. The decoder is empty afterwards.
  std::string Flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  std::string pending_;  // at most 3 bytes: the beginning of a character
};

}  // namespace quern::tokenizer
