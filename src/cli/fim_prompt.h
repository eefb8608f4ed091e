// Fill-in-the-middle: the text before and after a place -> token ids in the order that the models were trained on.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace quern::cli {

struct FimPrompt {
  std::vector<tokenizer::TokenId> tokens;
  std::vector<tokenizer::TokenId> stops;  // tokens that can only mean that the middle is over
  size_t n_left_out = 0;                  // tokens of the file that did not fit
};

// At most max_tokens: what is nearest to the place stays, three quarters of it before and one quarter after as far as
// there is that much. Markers inside the texts are ordinary text. Errors: kUnsupported (the tokenizer has no such
// tokens), kInvalidArgument (max_tokens is too small for any text).
Result<FimPrompt> BuildFimPrompt(const tokenizer::Tokenizer& tokenizer, std::string_view before, std::string_view after,
                                 int max_tokens);

}  // namespace quern::cli
