// Chunks of an upstream's answer -> the events of a generation.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"
#include "upstream/chunk.h"
#include "upstream/options.h"

namespace quern::upstream {

// Text -> tokens with exactly these bytes, for upstreams that answer in text. Immutable.
class TextTokens {
 public:
  explicit TextTokens(std::shared_ptr<const tokenizer::Tokenizer> tokenizer);
  // Never an added token, whatever the text spells. The tokenizer's own choice where that keeps the bytes (it brings
  // text into NFC), else one token per byte.
  std::vector<TokenId> Encode(std::string_view text) const;

 private:
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  std::vector<TokenId> of_byte_;  // [256]; -1 = the vocabulary has no token for it
};

// What of a request the assembler needs.
struct Wanted {
  int n_prompt = 0;
  int n_max = 0;
  int n_logprobs = -1;
  std::vector<TokenId> stop_tokens;
};

// One per attempt; one caller at a time. text_tokens and tokenizer outlive it.
class TokenAssembler {
 public:
  TokenAssembler(const Wanted& wanted, TokenExchange exchange, const tokenizer::Tokenizer& tokenizer,
                 const TextTokens& text_tokens)
      : wanted_(wanted), exchange_(exchange), tokenizer_(tokenizer), text_tokens_(text_tokens) {}

  // Appends the tokens that became known. Errors: kCorrupt (more than was asked for; text that is not that of the ids),
  // kUnsupported (no ids come, and the exchange is kTokens).
  Result<void> Push(const Chunk& chunk, std::vector<engine::TokenEvent>& out);

  // The upstream said why it ended; what follows is only usage.
  bool ended() const { return !finish_reason_.empty(); }
  int n_tokens() const { return n_tokens_; }  // handed out by Push and Finish

  // The answer is over. Appends what is left, a stop token at its end where the model stopped by itself, and returns
  // the last event. Errors: kUnavailable (it broke off, or ended for a reason of the upstream's own).
  Result<engine::FinishedEvent> Finish(std::vector<engine::TokenEvent>& out);

 private:
  Result<void> PushIds(const Chunk& chunk);
  Result<void> PushText(const Chunk& chunk);
  Result<void> CompareText(const Chunk& chunk);
  void HandOut(bool all, std::vector<engine::TokenEvent>& out);
  engine::TokenEvent EventOf(TokenId id, const ChunkLogprob* logprob) const;
  bool IsStop(TokenId id) const;

  const Wanted& wanted_;
  TokenExchange exchange_;
  const tokenizer::Tokenizer& tokenizer_;
  const TextTokens& text_tokens_;
  std::deque<TokenId> ids_;            // not handed out yet: their log-probabilities are still to come
  std::deque<ChunkLogprob> logprobs_;  // of the ids to come
  std::string seen_text_, own_text_;   // the beginning of the answer as they and as we write it, while it is compared
  bool comparing_ = true;
  bool stopped_ = false;  // a stop token came
  int n_received_ = 0;
  int n_tokens_ = 0;
  size_t n_text_bytes_ = 0;
  std::string finish_reason_;
  ChunkUsage usage_;
};

}  // namespace quern::upstream
