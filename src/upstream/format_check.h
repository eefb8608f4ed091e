// Holds an upstream's answer to the format that it was asked to keep: whoever enforces it there, what is passed on
// fits.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"
#include "upstream/token_assembler.h"

namespace quern::upstream {

// One per request; one caller at a time. What it is made with outlives it.
class FormatCheck {
 public:
  // grammar: with a source. Errors: those of Grammar::Start.
  static Result<std::unique_ptr<FormatCheck>> Create(const grammar::Grammar& grammar,
                                                     std::vector<engine::TokenId> stop_tokens,
                                                     const tokenizer::Tokenizer& tokenizer,
                                                     const TextTokens& text_tokens);

  // The answer's next token; a stop token ends it. Of JSON, blanks between its parts count as one, however many there
  // are: servers differ in what they let through. Errors: kUnavailable (it does not fit).
  Result<void> Take(engine::TokenId token);

 private:
  FormatCheck(std::unique_ptr<grammar::TokenConstraint> constraint, bool is_json,
              std::vector<engine::TokenId> stop_tokens, const tokenizer::Tokenizer& tokenizer,
              const TextTokens& text_tokens);

  Result<void> Accept(engine::TokenId token);
  Result<void> End();
  std::string WithoutBlanks(std::string_view bytes);

  const std::unique_ptr<grammar::TokenConstraint> constraint_;
  const bool is_json_;
  const std::vector<engine::TokenId> stop_tokens_;
  const tokenizer::Tokenizer& tokenizer_;
  const TextTokens& text_tokens_;
  // Where in JSON the answer stands.
  bool in_string_ = false;
  bool escaped_ = false;       // behind a backslash in a string
  bool begun_ = false;         // something other than a blank came
  bool blank_before_ = false;  // blanks that nothing came behind yet
};

}  // namespace quern::upstream
