#include "upstream/format_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace quern::upstream {

using engine::TokenId;

Result<std::unique_ptr<FormatCheck>> FormatCheck::Create(const grammar::Grammar& grammar,
                                                         std::vector<TokenId> stop_tokens,
                                                         const tokenizer::Tokenizer& tokenizer,
                                                         const TextTokens& text_tokens) {
  QUERN_ASSIGN(auto constraint, grammar.Start());
  const bool is_json = grammar.source()->kind == grammar::GrammarKind::kJsonSchema;
  return std::unique_ptr<FormatCheck>(
      new FormatCheck(std::move(constraint), is_json, std::move(stop_tokens), tokenizer, text_tokens));
}

FormatCheck::FormatCheck(std::unique_ptr<grammar::TokenConstraint> constraint, bool is_json,
                         std::vector<TokenId> stop_tokens, const tokenizer::Tokenizer& tokenizer,
                         const TextTokens& text_tokens)
    : constraint_(std::move(constraint)),
      is_json_(is_json),
      stop_tokens_(std::move(stop_tokens)),
      tokenizer_(tokenizer),
      text_tokens_(text_tokens) {}

Result<void> FormatCheck::Take(TokenId token) {
  if (std::find(stop_tokens_.begin(), stop_tokens_.end(), token) != stop_tokens_.end()) return End();
  if (!is_json_) return Accept(token);
  const std::string_view bytes = tokenizer_.TokenBytes(token);
  const std::string kept = WithoutBlanks(bytes);
  if (kept == bytes) return Accept(token);
  for (const TokenId part : text_tokens_.Encode(kept)) QUERN_TRY(Accept(part));
  return {};
}

Result<void> FormatCheck::Accept(TokenId token) {
  const auto accepted = constraint_->Accept(token);
  if (accepted) return {};
  return Error(Code::kUnavailable, fmt::format("the upstream does not keep to the format that it was asked for: {}",
                                               accepted.error().message()));
}

Result<void> FormatCheck::End() {
  const auto may_end = constraint_->ComputeMask({});
  if (may_end.value_or(false)) return {};
  return Error(Code::kUnavailable, "the upstream ended an answer before the format that it was asked for allows it");
}

// The bytes with every run of blanks between JSON's parts as one blank, none at the beginning, and those at the end
// kept back until something comes behind them.
std::string FormatCheck::WithoutBlanks(std::string_view bytes) {
  std::string kept;
  for (const char c : bytes) {
    if (!in_string_ && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
      blank_before_ = begun_;
      continue;
    }
    if (std::exchange(blank_before_, false)) kept += ' ';
    begun_ = true;
    kept += c;
    if (c == '"' && !escaped_) in_string_ = !in_string_;
    escaped_ = in_string_ && c == '\\' && !escaped_;
  }
  return kept;
}

}  // namespace quern::upstream
