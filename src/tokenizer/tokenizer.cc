#include "tokenizer/tokenizer.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <unordered_map>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/nfc.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace quern::tokenizer {
namespace {

// Working memory kept between calls, one per thread that encodes at the same time; each is about a megabyte.
constexpr size_t kKeptScratches = 16;
// Ordinary text has three to four bytes per token.
constexpr size_t kBytesPerTokenGuess = 3;
constexpr size_t kKeepStorageBytes = size_t{1} << 20;

using TokenIds = std::unordered_map<std::string_view, TokenId>;

// A token in a message: short and quoted.
std::string Quoted(std::string_view token) { return fmt::format("\"{}\"", token.substr(0, 80)); }

Result<void> CheckSizes(const VocabularySpec& spec) {
  if (spec.tokens.size() > kMaxTokens) {
    return Error(Code::kExhausted, fmt::format("vocabulary: {} tokens, at most {}", spec.tokens.size(), kMaxTokens));
  }
  if (spec.merges.size() > kMaxMerges) {
    return Error(Code::kExhausted, fmt::format("merges: {} entries, at most {}", spec.merges.size(), kMaxMerges));
  }
  if (spec.added.size() > kMaxAddedTokens) {
    return Error(Code::kExhausted,
                 fmt::format("added tokens: {} entries, at most {}", spec.added.size(), kMaxAddedTokens));
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.tokens[id].size() > kMaxTokenBytes) {
      return Error(Code::kExhausted,
                   fmt::format("token {}: {} bytes, at most {}", id, spec.tokens[id].size(), kMaxTokenBytes));
    }
  }
  return {};
}

// Puts the added tokens' texts at their places in spec.tokens.
Result<void> PlaceAdded(VocabularySpec& spec) {
  std::unordered_map<std::string_view, TokenId> seen;
  for (const AddedToken& token : spec.added) {
    if (token.text.empty() || token.text.size() > kMaxAddedTokenBytes) {
      return Error(Code::kExhausted, fmt::format("added token {}: {} bytes of text, expected 1 to {}", token.id,
                                                 token.text.size(), kMaxAddedTokenBytes));
    }
    if (token.id < 0 || static_cast<size_t>(token.id) >= kMaxTokens) {
      return Error(Code::kCorrupt, fmt::format("added token {}: id {} is not from 0 to {}", Quoted(token.text),
                                               token.id, kMaxTokens - 1));
    }
    if (const auto [it, is_new] = seen.emplace(token.text, token.id); !is_new) {
      return Error(Code::kCorrupt,
                   fmt::format("added token {} has the ids {} and {}", Quoted(token.text), it->second, token.id));
    }
    const auto at = static_cast<size_t>(token.id);
    if (at >= spec.tokens.size()) spec.tokens.resize(at + 1);
    if (spec.tokens[at].empty()) spec.tokens[at] = token.text;
    if (spec.tokens[at] != token.text) {
      return Error(Code::kCorrupt, fmt::format("token {} is {} in the vocabulary and {} among the added tokens",
                                               token.id, Quoted(spec.tokens[at]), Quoted(token.text)));
    }
  }
  return {};
}

Result<TokenIds> IndexTokens(const VocabularySpec& spec) {
  TokenIds ids;
  ids.reserve(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    if (token.empty()) continue;
    if (const auto [it, is_new] = ids.emplace(token, static_cast<TokenId>(id)); !is_new) {
      return Error(Code::kCorrupt, fmt::format("token {} has the ids {} and {}", Quoted(token), it->second, id));
    }
  }
  return ids;
}

Result<std::array<TokenId, 256>> FindByteTokens(const TokenIds& ids) {
  std::array<TokenId, 256> out{};
  for (size_t b = 0; b < out.size(); ++b) {
    const char byte = static_cast<char>(b);
    const auto it = ids.find(SpellingOfBytes(std::string_view(&byte, 1)));
    if (it == ids.end()) return Error(Code::kUnsupported, fmt::format("vocabulary: no token for byte {:#04x}", b));
    out[b] = it->second;
  }
  return out;
}

Result<std::vector<Merge>> ResolveMerges(const VocabularySpec& spec, const TokenIds& ids) {
  std::vector<Merge> merges;
  merges.reserve(spec.merges.size());
  std::unordered_map<uint64_t, size_t> seen;
  seen.reserve(spec.merges.size());
  std::string joined;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    joined.assign(left).append(right);
    const auto l = ids.find(left);
    const auto r = ids.find(right);
    const auto j = ids.find(joined);
    if (l == ids.end() || r == ids.end() || j == ids.end()) {
      const std::string_view missing = l == ids.end() ? left : r == ids.end() ? right : joined;
      return Error(Code::kCorrupt, fmt::format("merge {}: {} is not in the vocabulary", rank, Quoted(missing)));
    }
    const uint64_t pair = static_cast<uint64_t>(l->second) << 32 | static_cast<uint32_t>(r->second);
    if (const auto [it, is_new] = seen.emplace(pair, rank); !is_new) {
      return Error(Code::kCorrupt,
                   fmt::format("merge {} repeats merge {}: {} {}", rank, it->second, Quoted(left), Quoted(right)));
    }
    merges.push_back({l->second, r->second, j->second});
  }
  return merges;
}

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(const VocabularySpec& spec, const std::array<TokenId, 256>& byte_ids, std::span<const Merge> merges)
      : added_(spec.added), finder_(added_) {
    KeepBytes(spec);
    bpe_ = std::make_unique<BpeModel>(byte_ids, merges, bytes_);
  }

  std::vector<TokenId> Encode(std::string_view text, const EncodeOptions& options) const override {
    std::unique_ptr<Scratch> scratch = Take();
    std::vector<TokenId> out;
    out.reserve(text.size() / kBytesPerTokenGuess + 8);
    if (options.added == AddedTokens::kIgnore) {
      EncodeSegment(text, *scratch, out);
    } else {
      size_t n_passed = 0;
      for (size_t at = 0; at < text.size();) {
        const auto match = finder_.Next(text, at, options.literal, n_passed);
        EncodeSegment(text.substr(at, match.begin - at), *scratch, out);
        if (match.id >= 0) out.push_back(match.id);
        at = match.end;
      }
    }
    Return(std::move(scratch));
    return out;
  }

  std::string DecodeBytes(std::span<const TokenId> ids, bool skip_special) const override {
    std::string out;
    for (const TokenId id : ids) {
      if (!skip_special || !IsSpecial(id)) out += TokenBytes(id);
    }
    return out;
  }

  std::string_view TokenBytes(TokenId id) const override {
    return InRange(id) ? bytes_[static_cast<size_t>(id)] : std::string_view();
  }

  TokenId AddedTokenId(std::string_view text) const override { return finder_.Find(text); }
  bool IsAdded(TokenId id) const override { return InRange(id) && kinds_[static_cast<size_t>(id)] != Kind::kOrdinary; }
  bool IsSpecial(TokenId id) const override { return InRange(id) && kinds_[static_cast<size_t>(id)] == Kind::kSpecial; }
  std::span<const AddedToken> added_tokens() const override { return added_; }
  int vocab_size() const override { return static_cast<int>(bytes_.size()); }

 private:
  enum class Kind : uint8_t { kOrdinary, kAdded, kSpecial };

  struct Scratch {
    BpeScratch bpe;
    std::string nfc;
  };

  bool InRange(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < bytes_.size(); }

  void KeepBytes(const VocabularySpec& spec) {
    size_t n = spec.tokens.size();
    while (n > 0 && spec.tokens[n - 1].empty()) --n;
    kinds_.assign(n, Kind::kOrdinary);
    for (const AddedToken& token : spec.added) {
      kinds_[static_cast<size_t>(token.id)] = token.special ? Kind::kSpecial : Kind::kAdded;
    }
    std::vector<size_t> ends;
    ends.reserve(n);
    for (size_t id = 0; id < n; ++id) {
      const auto bytes = kinds_[id] == Kind::kOrdinary ? BytesOfSpelling(spec.tokens[id]) : std::nullopt;
      pool_of_bytes_ += bytes.has_value() ? *bytes : spec.tokens[id];
      ends.push_back(pool_of_bytes_.size());
    }
    pool_of_bytes_.shrink_to_fit();
    bytes_.reserve(n);
    for (size_t id = 0; id < n; ++id) {
      const size_t begin = id == 0 ? 0 : ends[id - 1];
      bytes_.push_back(std::string_view(pool_of_bytes_).substr(begin, ends[id] - begin));
    }
  }

  void EncodeSegment(std::string_view segment, Scratch& scratch, std::vector<TokenId>& out) const {
    if (segment.empty()) return;
    const std::string_view text = ToNfc(segment, scratch.nfc);
    const Utf8ClassReader reader(text);
    for (size_t at = 0; at < text.size();) {
      const size_t end = PieceEnd(reader, at);
      bpe_->Encode(text.substr(at, end - at), scratch.bpe, out);
      at = end;
    }
  }

  std::unique_ptr<Scratch> Take() const {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<Scratch> scratch = std::move(free_.back());
        free_.pop_back();
        return scratch;
      }
    }
    return std::make_unique<Scratch>();
  }

  void Return(std::unique_ptr<Scratch> scratch) const {
    scratch->bpe.Trim();
    if (scratch->nfc.capacity() > kKeepStorageBytes) scratch->nfc = {};
    const std::lock_guard lock(mutex_);
    if (free_.size() < kKeptScratches) free_.push_back(std::move(scratch));
  }

  std::vector<AddedToken> added_;
  AddedTokenFinder finder_;
  std::string pool_of_bytes_;
  std::vector<std::string_view> bytes_;  // by id, into pool_of_bytes_
  std::vector<Kind> kinds_;              // by id
  std::unique_ptr<BpeModel> bpe_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> free_;  // under mutex_
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::FromSpec(VocabularySpec spec) {
  QUERN_TRY(CheckSizes(spec));
  QUERN_TRY(PlaceAdded(spec));
  QUERN_ASSIGN(const TokenIds ids, IndexTokens(spec));
  QUERN_ASSIGN(const auto byte_ids, FindByteTokens(ids));
  QUERN_ASSIGN(const std::vector<Merge> merges, ResolveMerges(spec, ids));
  return std::make_shared<const BpeTokenizer>(spec, byte_ids, merges);
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::FromJson(std::string_view json) {
  auto spec = ReadTokenizerJson(json);
  if (!spec.has_value()) return std::unexpected(spec.error().WithContext("tokenizer.json"));
  auto tokenizer = FromSpec(std::move(*spec));
  if (!tokenizer.has_value()) return std::unexpected(tokenizer.error().WithContext("tokenizer.json"));
  return tokenizer;
}

}  // namespace quern::tokenizer
