#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

namespace quern::tokenizer {

std::string StreamDecoder::Push(TokenId id) {
  if (skip_special_ && tokenizer_->IsSpecial(id)) return {};
  pending_ += tokenizer_->TokenBytes(id);
  // The cut is at the end of a maximal ill-formed part, so replacing before joining equals joining before replacing.
  const size_t whole = pending_.size() - IncompleteUtf8Suffix(pending_);
  std::string out = ReplaceInvalidUtf8(std::string_view(pending_).substr(0, whole));
  pending_.erase(0, whole);
  return out;
}

std::string StreamDecoder::Flush() {
  std::string out = ReplaceInvalidUtf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace quern::tokenizer
