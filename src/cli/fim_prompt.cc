#include "cli/fim_prompt.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>

namespace quern::cli {

using tokenizer::TokenId;

Result<FimPrompt> BuildFimPrompt(const tokenizer::Tokenizer& tokenizer, std::string_view before, std::string_view after,
                                 int max_tokens) {
  const TokenId prefix = tokenizer.AddedTokenId("<|fim_prefix|>");
  const TokenId suffix = tokenizer.AddedTokenId("<|fim_suffix|>");
  const TokenId middle = tokenizer.AddedTokenId("<|fim_middle|>");
  if (prefix < 0 || suffix < 0 || middle < 0)
    return Error(Code::kUnsupported, "this model's tokenizer has no tokens for filling in the middle");
  if (max_tokens < 5)
    return Error(Code::kInvalidArgument, fmt::format("a context of {} tokens is too small", max_tokens));
  const auto head = tokenizer.Encode(before, {.added = tokenizer::AddedTokens::kIgnore});
  const auto tail = tokenizer.Encode(after, {.added = tokenizer::AddedTokens::kIgnore});
  const size_t room = static_cast<size_t>(max_tokens) - 3;
  const size_t n_tail = std::min(tail.size(), std::max(room / 4, room - std::min(room, head.size())));
  const size_t n_head = std::min(head.size(), room - n_tail);

  FimPrompt prompt;
  prompt.n_left_out = head.size() - n_head + tail.size() - n_tail;
  prompt.tokens.push_back(prefix);
  prompt.tokens.insert(prompt.tokens.end(), head.end() - static_cast<std::ptrdiff_t>(n_head), head.end());
  prompt.tokens.push_back(suffix);
  prompt.tokens.insert(prompt.tokens.end(), tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(n_tail));
  prompt.tokens.push_back(middle);
  prompt.stops = {prefix, suffix, middle};
  for (const char* text : {"<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|im_start|>"}) {
    if (const TokenId id = tokenizer.AddedTokenId(text); id >= 0) prompt.stops.push_back(id);
  }
  return prompt;
}

}  // namespace quern::cli
