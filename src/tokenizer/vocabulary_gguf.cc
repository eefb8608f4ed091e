#include "tokenizer/vocabulary_gguf.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "tokenizer/tokenizer_json.h"

namespace quern::tokenizer {
namespace {

constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;
constexpr int32_t kUserDefined = 4;
constexpr int32_t kUnused = 5;

// Spelled <|...|>, which is enough for converters to call them control tokens.
constexpr std::array<std::string_view, 6> kNotSpecial = {
    "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
};

Result<void> CheckHead(const GgufVocabulary& v) {
  if (v.model != "gpt2") {
    return Error(Code::kUnsupported, fmt::format("tokenizer.ggml.model: \"{}\" is not supported, expected \"gpt2\"",
                                                 v.model.substr(0, 80)));
  }
  if (v.pre != "qwen2") {
    return Error(Code::kUnsupported,
                 fmt::format("tokenizer.ggml.pre: \"{}\" is not supported, expected \"qwen2\"", v.pre.substr(0, 80)));
  }
  if (v.tokens.size() != v.types.size()) {
    return Error(Code::kCorrupt,
                 fmt::format("tokenizer.ggml.token_type: {} entries for {} tokens", v.types.size(), v.tokens.size()));
  }
  if (v.tokens.size() > kMaxTokens) {
    return Error(Code::kExhausted,
                 fmt::format("tokenizer.ggml.tokens: {} entries, at most {}", v.tokens.size(), kMaxTokens));
  }
  if (v.merges.size() > kMaxMerges) {
    return Error(Code::kExhausted,
                 fmt::format("tokenizer.ggml.merges: {} entries, at most {}", v.merges.size(), kMaxMerges));
  }
  return {};
}

}  // namespace

Result<VocabularySpec> SpecFromGguf(const GgufVocabulary& v) {
  QUERN_TRY(CheckHead(v));
  VocabularySpec spec;
  spec.tokens.reserve(v.tokens.size());
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    const std::string_view text = v.tokens[i];
    switch (v.types[i]) {
      case kNormal:
        break;
      case kControl:
      case kUserDefined: {
        const bool completion = std::find(kNotSpecial.begin(), kNotSpecial.end(), text) != kNotSpecial.end();
        spec.added.push_back({static_cast<TokenId>(i), std::string(text), v.types[i] == kControl && !completion});
        break;
      }
      case kUnused:
        spec.tokens.emplace_back();
        continue;
      default:
        return Error(Code::kUnsupported,
                     fmt::format("tokenizer.ggml.token_type[{}]: {} is not supported", i, v.types[i]));
    }
    spec.tokens.emplace_back(text);
  }
  spec.merges.reserve(v.merges.size());
  for (size_t i = 0; i < v.merges.size(); ++i) {
    const size_t blank = v.merges[i].find(' ');
    if (blank == std::string_view::npos) {
      return Error(Code::kCorrupt, fmt::format("tokenizer.ggml.merges[{}]: expected \"left right\", got \"{}\"", i,
                                               v.merges[i].substr(0, 80)));
    }
    spec.merges.emplace_back(v.merges[i].substr(0, blank), v.merges[i].substr(blank + 1));
  }
  return spec;
}

}  // namespace quern::tokenizer
