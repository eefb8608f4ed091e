#include "upstream/token_assembler.h"

#include <fmt/format.h>

#include <algorithm>

namespace quern::upstream {
namespace {

using engine::FinishReason;
using engine::TokenEvent;

// So much of an answer is compared with what its ids spell: enough to tell another vocabulary.
constexpr size_t kComparedBytes = 512;
// No vocabulary has longer tokens than this on average; more text than this per token asked for is not an answer.
constexpr size_t kMaxBytesPerToken = 256;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

TextTokens::TextTokens(std::shared_ptr<const tokenizer::Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)), of_byte_(256, -1) {
  for (TokenId id = 0; id < tokenizer_->vocab_size(); ++id) {
    const std::string_view bytes = tokenizer_->TokenBytes(id);
    if (bytes.size() == 1 && !tokenizer_->IsAdded(id)) of_byte_[static_cast<unsigned char>(bytes[0])] = id;
  }
}

std::vector<TokenId> TextTokens::Encode(std::string_view text) const {
  tokenizer::EncodeOptions as_text;
  as_text.added = tokenizer::AddedTokens::kIgnore;
  std::vector<TokenId> ids = tokenizer_->Encode(text, as_text);
  if (tokenizer_->DecodeBytes(ids, false) == text) return ids;
  ids.clear();
  for (const char c : text) {
    const TokenId id = of_byte_[static_cast<unsigned char>(c)];
    if (id >= 0) ids.push_back(id);
  }
  return ids;
}

bool TokenAssembler::IsStop(TokenId id) const {
  return std::ranges::find(wanted_.stop_tokens, id) != wanted_.stop_tokens.end();
}

Result<void> TokenAssembler::Push(const Chunk& chunk, std::vector<TokenEvent>& out) {
  if (chunk.usage) usage_ = *chunk.usage;
  if (exchange_ == TokenExchange::kTokens) {
    QUERN_TRY(PushIds(chunk));
  } else {
    QUERN_TRY(PushText(chunk));
  }
  if (!chunk.finish_reason.empty()) finish_reason_ = chunk.finish_reason;
  HandOut(false, out);
  return {};
}

Result<void> TokenAssembler::PushIds(const Chunk& chunk) {
  if (!chunk.token_ids) {
    if (chunk.text.empty()) return {};
    return Error(Code::kUnsupported,
                 "the upstream answers without token ids (return_token_ids); set exchange = \"text\" for it");
  }
  for (const TokenId id : *chunk.token_ids) {
    if (stopped_) break;
    if (++n_received_ > wanted_.n_max) {
      return Error(Code::kCorrupt, fmt::format("the upstream sent more than the {} tokens asked for", wanted_.n_max));
    }
    ids_.push_back(id);
    stopped_ = IsStop(id);
  }
  for (const ChunkLogprob& logprob : chunk.logprobs) {
    if (logprobs_.size() < static_cast<size_t>(wanted_.n_max)) logprobs_.push_back(logprob);
  }
  return CompareText(chunk);
}

// Text comes in whole characters and without the stop token, so it can only lag behind what the ids spell.
Result<void> TokenAssembler::CompareText(const Chunk& chunk) {
  if (!comparing_) return {};
  own_text_ += tokenizer_.DecodeBytes(*chunk.token_ids, false);
  seen_text_ += chunk.text;
  comparing_ = seen_text_.size() < kComparedBytes && seen_text_.find(kReplacement) == std::string::npos;
  if (own_text_.starts_with(seen_text_) || seen_text_.find(kReplacement) != std::string::npos) return {};
  return Error(Code::kUnsupported,
               "the upstream's text is not what its token ids spell here: it runs a model of another vocabulary");
}

Result<void> TokenAssembler::PushText(const Chunk& chunk) {
  n_text_bytes_ += chunk.text.size();
  if (n_text_bytes_ > kMaxBytesPerToken * static_cast<size_t>(wanted_.n_max)) {
    return Error(Code::kCorrupt, fmt::format("the upstream sent {} bytes of text, {} tokens were asked for",
                                             n_text_bytes_, wanted_.n_max));
  }
  const std::vector<TokenId> ids = text_tokens_.Encode(chunk.text);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  return {};
}

TokenEvent TokenAssembler::EventOf(TokenId id, const ChunkLogprob* logprob) const {
  TokenEvent event{id, n_tokens_ + 1, 0.0F, {}};
  if (logprob == nullptr) return event;
  event.logprob = logprob->logprob;
  for (const auto& [text, value] : logprob->top) {
    const std::vector<TokenId> ids = tokenizer_.Encode(text);
    // A piece of a character is not written as text that leads back to its token.
    if (ids.size() == 1) event.top.push_back({ids[0], value});
  }
  std::ranges::sort(event.top, [](const auto& a, const auto& b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
  });
  event.top.resize(std::min(event.top.size(), static_cast<size_t>(std::max(0, wanted_.n_logprobs))));
  return event;
}

void TokenAssembler::HandOut(bool all, std::vector<TokenEvent>& out) {
  while (!ids_.empty()) {
    const bool wants = wanted_.n_logprobs >= 0;
    if (wants && logprobs_.empty() && !all) return;
    out.push_back(EventOf(ids_.front(), wants && !logprobs_.empty() ? &logprobs_.front() : nullptr));
    ids_.pop_front();
    if (!logprobs_.empty()) logprobs_.pop_front();
    ++n_tokens_;
  }
}

Result<engine::FinishedEvent> TokenAssembler::Finish(std::vector<TokenEvent>& out) {
  HandOut(true, out);
  const bool by_length = finish_reason_ == "length" || (finish_reason_.empty() && n_received_ == wanted_.n_max);
  if (!stopped_ && !by_length && finish_reason_ != "stop") {
    return Error(Code::kUnavailable, finish_reason_.empty()
                                         ? fmt::format("the upstream broke off after {} tokens", n_tokens_)
                                         : fmt::format("the upstream ended the answer with finish_reason \"{}\"",
                                                       finish_reason_.substr(0, 40)));
  }
  engine::FinishedEvent finished{};
  finished.reason = stopped_ || !by_length ? FinishReason::kStopToken : FinishReason::kLength;
  if (finished.reason == FinishReason::kStopToken && !stopped_ && !wanted_.stop_tokens.empty()) {
    out.push_back(EventOf(wanted_.stop_tokens.front(), nullptr));
    ++n_tokens_;
  }
  finished.n_prompt = wanted_.n_prompt;
  finished.n_cached = std::min(usage_.n_cached, wanted_.n_prompt);
  // Our own cut of a text into tokens is not the model's; the upstream's count is.
  const bool told = exchange_ == TokenExchange::kText && usage_.n_generated > 0;
  finished.n_generated = told ? std::min(usage_.n_generated, wanted_.n_max) : n_tokens_;
  return finished;
}

}  // namespace quern::upstream
