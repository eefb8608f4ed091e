// A folder's tokenizer as the keys of a GGUF file.
#pragma once

#include <optional>

#include "base/status.h"
#include "model/checkpoint.h"
#include "model/gguf_export.h"

namespace quern::cli {

// From tokenizer.json and the chat template beside the weights; nullopt when there is no tokenizer.json. Rows of the
// embedding beyond the tokenizer are named [PAD<id>]. Errors: kCorrupt, kUnsupported, kExhausted; the file is named.
Result<std::optional<model::GgufVocabularyKeys>> ReadVocabularyKeys(const model::Checkpoint& checkpoint);

}  // namespace quern::cli
