#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <cstring>

namespace quern::tokenizer {

AddedTokenFinder::AddedTokenFinder(std::span<const AddedToken> tokens) {
  sorted_.reserve(tokens.size());
  for (const AddedToken& token : tokens) {
    sorted_.push_back({token.text, token.id});
    is_first_byte_[static_cast<uint8_t>(token.text[0])] = true;
  }
  std::sort(sorted_.begin(), sorted_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  if (!sorted_.empty() && sorted_.front().text[0] == sorted_.back().text[0]) {
    only_first_byte_ = static_cast<uint8_t>(sorted_.front().text[0]);
  }
}

const AddedTokenFinder::Entry* AddedTokenFinder::LongestAt(std::string_view text, size_t at, size_t limit) const {
  // [first, last) are the tokens that agree with the text in the first n bytes; the shortest of them comes first.
  auto first = sorted_.begin();
  auto last = sorted_.end();
  const Entry* longest = nullptr;
  for (size_t n = 0; at + n < limit; ++n) {
    const auto byte = static_cast<uint8_t>(text[at + n]);
    const auto below = [n](const Entry& e, uint8_t b) {
      return e.text.size() <= n || static_cast<uint8_t>(e.text[n]) < b;
    };
    const auto above = [n](uint8_t b, const Entry& e) {
      return e.text.size() > n && b < static_cast<uint8_t>(e.text[n]);
    };
    first = std::lower_bound(first, last, byte, below);
    last = std::upper_bound(first, last, byte, above);
    if (first == last) break;
    if (first->text.size() == n + 1) longest = &*first;
  }
  return longest;
}

AddedTokenFinder::Match AddedTokenFinder::Next(std::string_view text, size_t from, std::span<const ByteRange> literal,
                                               size_t& n_passed) const {
  for (size_t at = from; !sorted_.empty() && at < text.size(); ++at) {
    while (n_passed < literal.size() &&
           (literal[n_passed].end <= at || literal[n_passed].end <= literal[n_passed].begin)) {
      ++n_passed;  // behind us, or empty
    }
    size_t limit = text.size();
    if (n_passed < literal.size()) {
      if (literal[n_passed].begin <= at) {
        at = std::min(literal[n_passed].end, text.size()) - 1;  // nothing can begin inside
        continue;
      }
      limit = std::min(limit, literal[n_passed].begin);
    }
    if (only_first_byte_ >= 0) {
      const void* hit = std::memchr(text.data() + at, only_first_byte_, limit - at);
      at = hit == nullptr ? limit : static_cast<size_t>(static_cast<const char*>(hit) - text.data());
    } else {
      while (at < limit && !is_first_byte_[static_cast<uint8_t>(text[at])]) ++at;
    }
    if (at == limit) {
      --at;  // go on behind the limit
      continue;
    }
    if (const Entry* entry = LongestAt(text, at, limit)) return {at, at + entry->text.size(), entry->id};
  }
  return {text.size(), text.size(), -1};
}

TokenId AddedTokenFinder::Find(std::string_view text) const {
  const auto it = std::lower_bound(sorted_.begin(), sorted_.end(), text,
                                   [](const Entry& e, std::string_view t) { return e.text < t; });
  return it != sorted_.end() && it->text == text ? it->id : -1;
}

}  // namespace quern::tokenizer
