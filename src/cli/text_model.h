// A model and a text for it to read: what `quern kl` and `quern imatrix` begin with.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "base/status.h"
#include "cli/command_line.h"
#include "model/model.h"

namespace quern::cli {

// Loads the weights; progress goes to the terminal. Errors: kNotFound (no such path), those of Model::Load.
Result<std::unique_ptr<model::Model>> LoadWeightsOf(const std::string& path, const Settings& settings);

// The tokens of invocation.file, by the tokenizer of the checkpoint; the first invocation.n_tokens of them when that is
// above 0. Errors: kInvalidArgument (no --text, not UTF-8), those of ReadTextFile and LoadTokenizer.
Result<std::vector<model::TokenId>> ReadTextTokens(const model::Checkpoint& checkpoint, const Invocation& invocation);

}  // namespace quern::cli
