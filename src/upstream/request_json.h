// A generation as the body of POST /v1/completions.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"
#include "upstream/options.h"

namespace quern::upstream {

// All of the body but its beginning, {"model": NAME, which differs by endpoint: see WithModel. n_max: tokens wanted,
// above 0. Errors: kUnsupported (a grammar without a source, or any with FormatFields::kNone; log-probabilities of the
// prompt; in text exchange also prompts whose text would read differently there: user text that spells control tokens).
Result<std::string> RequestJson(const engine::GenerateRequest& request, int n_max, TokenExchange exchange,
                                FormatFields formats, const tokenizer::Tokenizer& tokenizer);

std::string WithModel(std::string_view model, std::string_view rest);

}  // namespace quern::upstream
