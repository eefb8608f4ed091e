#include "grammar/token_index.h"

#include <algorithm>
#include <utility>

namespace quern::grammar {

bool IsControlToken(const tokenizer::Tokenizer& tokenizer, int32_t id) {
  if (tokenizer.IsSpecial(id)) return true;
  const std::string_view bytes = tokenizer.TokenBytes(id);
  return tokenizer.IsAdded(id) && bytes.starts_with("<|") && bytes.ends_with("|>");
}

TokenIndex::TokenIndex(std::shared_ptr<const tokenizer::Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    const std::string_view bytes = tokenizer_->TokenBytes(id);
    if (!bytes.empty() && !IsControlToken(*tokenizer_, id)) tokens.emplace_back(bytes, id);
  }
  std::sort(tokens.begin(), tokens.end());
  of_byte_.fill(-1);
  for (const auto& [bytes, id] : tokens) {
    ids_.push_back(id);
    bytes_.push_back(bytes);
    if (bytes.size() == 1) of_byte_[static_cast<unsigned char>(bytes[0])] = id;
  }
}

std::span<const int32_t> TokenIndex::WithPrefix(std::string_view prefix) const {
  const auto [first, last] = std::equal_range(
      bytes_.begin(), bytes_.end(), prefix,
      [n = prefix.size()](std::string_view a, std::string_view b) { return a.substr(0, n) < b.substr(0, n); });
  return std::span(ids_).subspan(static_cast<size_t>(first - bytes_.begin()), static_cast<size_t>(last - first));
}

std::span<const int32_t> TokenIndex::Equal(std::string_view bytes) const {
  const auto [first, last] = std::equal_range(bytes_.begin(), bytes_.end(), bytes);
  return std::span(ids_).subspan(static_cast<size_t>(first - bytes_.begin()), static_cast<size_t>(last - first));
}

}  // namespace quern::grammar
