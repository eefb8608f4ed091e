// Grammars -> constraints, by llguidance. One compiler per vocabulary; compiled grammars are kept and shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/status.h"
#include "grammar/grammar.h"
#include "grammar/token_index.h"
#include "tokenizer/tokenizer.h"

namespace quern::grammar {

// Sizes and work; each with what a larger value costs.
struct GrammarLimits {
  size_t max_source_bytes = 512 * 1024;       // of one grammar; compiling takes up to some ms per KiB
  size_t max_cached = 128;                    // compiled grammars kept, the least recently used goes first
  size_t max_cached_bytes = size_t{8} << 20;  // of their sources; compiled they are some ten times larger
  uint64_t compile_fuel = 1'000'000;          // building the lexer: 50,000 per ms
  size_t max_symbols = 200'000;               // of a grammar's productions
  uint64_t mask_fuel = 200'000;               // lexer work for one mask: 14,000 per ms
  size_t mask_items = 50'000;                 // parser items for one mask: 20,000 per ms
  size_t max_lexer_states = 50'000;           // of one generation: 1-2 KiB each
};

// Thread-safe. Compiling happens on the caller's thread, which must not be an engine's.
class GrammarCompiler {
 public:
  // Texts are in the bytes of tokenizer's tokens. Control tokens ("<|...|>") are no text and never allowed. Cheap: the
  // vocabulary is read at the first Compile (about half a second for 150,000 tokens).
  static std::shared_ptr<GrammarCompiler> Create(std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                                 const GrammarLimits& limits = {});
  virtual ~GrammarCompiler() = default;

  // Errors: kInvalidArgument (the grammar is wrong or asks for what cannot be enforced), kExhausted (a limit, named),
  // kInternal.
  virtual Result<std::shared_ptr<const Grammar>> Compile(const GrammarSource& source) = 0;

  // The tokens that texts are made of. Built at the first call (some 50 ms for 150,000 tokens).
  virtual std::shared_ptr<const TokenIndex> Tokens() = 0;
};

}  // namespace quern::grammar
