// What a generation's text has to fit, over token ids: a grammar, and a state machine for each text that is written by
// it. The interface that backends see; grammar_compiler.h makes them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace quern::grammar {

enum class GrammarKind {
  kJsonSchema,  // JSON text of a schema, as SchemaGrammar() makes it
  kRegex,       // the whole text matches; Rust's regex syntax without look-around
  kLark,        // llguidance's Lark: rules, terminals, %json {...}
};

struct GrammarSource {
  GrammarKind kind = GrammarKind::kLark;
  std::string text;
  bool operator==(const GrammarSource&) const = default;
};

// One per generation; one caller at a time, any thread. After an error every further call fails too: a constraint that
// broke never allows anything.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Bit i of mask (word i / 32) := token i may come next. mask: [(n + 31) / 32], n any number of ids; bits of ids
  // outside the vocabulary are 0. Returns whether the text may end here; tokens that only end a text never have a bit.
  // No bit and true: the text is complete. Errors: kInvalidArgument (a limit of GrammarLimits), kInternal.
  virtual Result<bool> ComputeMask(std::span<uint32_t> mask) = 0;

  // token is part of the text now. Errors: kInvalidArgument (the mask did not allow it), and as above.
  virtual Result<void> Accept(int32_t token) = 0;
};

// Immutable; any thread.
class Grammar {
 public:
  virtual ~Grammar() = default;

  // At the beginning of a text. Shares nothing with other constraints. Errors: kInternal.
  virtual Result<std::unique_ptr<TokenConstraint>> Start() const = 0;

  // What may follow a text that begins with these tokens. Errors: kInvalidArgument (it may not begin so), as above.
  virtual Result<std::shared_ptr<const Grammar>> After(std::span<const int32_t> tokens) const = 0;

  // What it was made of, for those who have it enforced elsewhere; null when no one source says it.
  virtual const GrammarSource* source() const { return nullptr; }
};

}  // namespace quern::grammar
