// One event of an upstream's completions stream, checked. The upstream is not trusted: sizes, ids and numbers out of
// range are errors here and go no further.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"

namespace quern::upstream {

using engine::TokenId;

struct ChunkLogprob {
  float logprob = 0;                               // of the token itself
  std::vector<std::pair<std::string, float>> top;  // tokens as the upstream writes them, in its order
};

struct ChunkUsage {
  int n_prompt = 0;
  int n_cached = 0;
  int n_generated = 0;
};

struct Chunk {
  std::string text;
  std::optional<std::vector<TokenId>> token_ids;  // absent when the upstream does not know return_token_ids
  std::vector<ChunkLogprob> logprobs;             // in the order of the tokens, perhaps in a later chunk than they
  std::string finish_reason;                      // empty = goes on
  std::optional<ChunkUsage> usage;
};

// vocab_size: ids must be below it. n_prompt: the first event may repeat the prompt's ids, so more of them are read.
// Errors: kCorrupt (not JSON, or not of the shape that the protocol has: the message
// has the place), kExhausted (a limit), kUnavailable (the upstream reports an error: its message, made fit to show).
Result<Chunk> ReadChunk(std::string_view json, int vocab_size, size_t n_prompt = 0);

// So many bytes more than other events may one with the prompt's ids have.
constexpr size_t PromptEchoBytes(size_t n_prompt) { return 16 * n_prompt; }

// The message of an error answer's body, for people: valid UTF-8, no control characters, at most 300 bytes; `fallback`
// when there is none.
std::string ErrorText(std::string_view body, std::string_view fallback);

}  // namespace quern::upstream
