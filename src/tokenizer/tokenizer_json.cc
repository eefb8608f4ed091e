#include "tokenizer/tokenizer_json.h"

#include <fmt/core.h>

#include <boost/json.hpp>
#include <exception>

#include "base/json.h"

namespace quern::tokenizer {
namespace {

namespace json = boost::json;

constexpr std::string_view kSplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::string_view View(const json::string& s) { return {s.data(), s.size()}; }

// Something short to show of a value in a message.
std::string Show(const json::value& value) {
  if (value.is_string()) return fmt::format("\"{}\"", View(value.get_string()).substr(0, 80));
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  return json::serialize(value);
}

// A member that must be an object, an array or a string.
Result<const json::object*> ObjectAt(const json::object& parent, const char* key, std::string_view where) {
  const json::value* value = parent.if_contains(key);
  if (value == nullptr || !value->is_object()) {
    return Error(Code::kCorrupt, fmt::format("{}{}: expected an object, got {}", where, key,
                                             value == nullptr ? "nothing" : Show(*value)));
  }
  return &value->get_object();
}

Result<const json::array*> ArrayAt(const json::object& parent, const char* key, std::string_view where) {
  const json::value* value = parent.if_contains(key);
  if (value == nullptr || !value->is_array()) {
    return Error(Code::kCorrupt, fmt::format("{}{}: expected an array, got {}", where, key,
                                             value == nullptr ? "nothing" : Show(*value)));
  }
  return &value->get_array();
}

std::string_view StringAt(const json::object& parent, const char* key) {
  const json::value* value = parent.if_contains(key);
  return value != nullptr && value->is_string() ? View(value->get_string()) : std::string_view();
}

// kUnsupported unless the member is absent, null, or false or "" (whichever its type is).
Result<void> MustBeOff(const json::object& parent, const char* key, std::string_view where) {
  const json::value* value = parent.if_contains(key);
  if (value == nullptr || value->is_null()) return {};
  if (value->is_bool() && !value->get_bool()) return {};
  if (value->is_string() && value->get_string().empty()) return {};
  return Error(Code::kUnsupported, fmt::format("{}{}: {} is not supported, only off", where, key, Show(*value)));
}

// kUnsupported unless the object's "type" is the expected one.
Result<void> MustBeType(const json::object& object, std::string_view expected, std::string_view where) {
  const std::string_view type = StringAt(object, "type");
  if (type == expected) return {};
  return Error(Code::kUnsupported,
               fmt::format("{}: type \"{}\" is not supported, expected \"{}\"", where, type.substr(0, 80), expected));
}

Result<void> CheckSplit(const json::object& split) {
  QUERN_TRY(MustBeType(split, "Split", "pre_tokenizer.pretokenizers[0]"));
  QUERN_ASSIGN(const json::object* pattern, ObjectAt(split, "pattern", "pre_tokenizer.pretokenizers[0]."));
  if (StringAt(*pattern, "Regex") != kSplitPattern) {
    return Error(Code::kUnsupported,
                 fmt::format("pre_tokenizer.pretokenizers[0].pattern.Regex: \"{}\" is not the supported expression, {}",
                             StringAt(*pattern, "Regex").substr(0, 200), kSplitPattern));
  }
  if (StringAt(split, "behavior") != "Isolated") {
    return Error(Code::kUnsupported, fmt::format("pre_tokenizer.pretokenizers[0].behavior: \"{}\" is not supported, "
                                                 "expected \"Isolated\"",
                                                 StringAt(split, "behavior").substr(0, 80)));
  }
  return MustBeOff(split, "invert", "pre_tokenizer.pretokenizers[0].");
}

Result<void> CheckByteLevel(const json::object& stage) {
  QUERN_TRY(MustBeType(stage, "ByteLevel", "pre_tokenizer.pretokenizers[1]"));
  QUERN_TRY(MustBeOff(stage, "add_prefix_space", "pre_tokenizer.pretokenizers[1]."));
  const json::value* use_regex = stage.if_contains("use_regex");  // absent means true
  if (use_regex == nullptr || !use_regex->is_bool() || use_regex->get_bool()) {
    return Error(Code::kUnsupported, "pre_tokenizer.pretokenizers[1].use_regex: only false is supported");
  }
  return {};
}

Result<void> CheckPreTokenizer(const json::object& root) {
  QUERN_ASSIGN(const json::object* pre, ObjectAt(root, "pre_tokenizer", ""));
  QUERN_TRY(MustBeType(*pre, "Sequence", "pre_tokenizer"));
  QUERN_ASSIGN(const json::array* stages, ArrayAt(*pre, "pretokenizers", "pre_tokenizer."));
  if (stages->size() != 2 || !(*stages)[0].is_object() || !(*stages)[1].is_object()) {
    return Error(Code::kUnsupported,
                 fmt::format("pre_tokenizer.pretokenizers: expected a Split and a ByteLevel stage, got {} stages",
                             stages->size()));
  }
  QUERN_TRY(CheckSplit((*stages)[0].get_object()));
  return CheckByteLevel((*stages)[1].get_object());
}

Result<void> CheckPipeline(const json::object& root) {
  QUERN_ASSIGN(const json::object* normalizer, ObjectAt(root, "normalizer", ""));
  QUERN_TRY(MustBeType(*normalizer, "NFC", "normalizer"));
  QUERN_TRY(CheckPreTokenizer(root));
  QUERN_ASSIGN(const json::object* decoder, ObjectAt(root, "decoder", ""));
  QUERN_TRY(MustBeType(*decoder, "ByteLevel", "decoder"));
  const json::value* post = root.if_contains("post_processor");
  if (post == nullptr || post->is_null()) return {};
  if (!post->is_object())
    return Error(Code::kCorrupt, fmt::format("post_processor: expected an object, got {}", Show(*post)));
  return MustBeType(post->get_object(), "ByteLevel", "post_processor");  // it only moves offsets
}

Result<void> CheckModel(const json::object& model) {
  // Old files leave the type out; everything that is not BPE then lacks merges.
  if (model.if_contains("type") != nullptr) QUERN_TRY(MustBeType(model, "BPE", "model"));
  for (const char* key : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                          "byte_fallback", "ignore_merges"}) {
    QUERN_TRY(MustBeOff(model, key, "model."));
  }
  return {};
}

// An id: a whole number in [0, kMaxTokens).
Result<TokenId> ReadId(const json::value& value, std::string_view where) {
  int64_t id = -1;
  if (value.is_int64()) id = value.get_int64();
  if (value.is_uint64() && value.get_uint64() < kMaxTokens) id = static_cast<int64_t>(value.get_uint64());
  if (id < 0 || id >= static_cast<int64_t>(kMaxTokens)) {
    return Error(Code::kCorrupt,
                 fmt::format("{}: expected an id from 0 to {}, got {}", where, kMaxTokens - 1, Show(value)));
  }
  return static_cast<TokenId>(id);
}

// Puts text at tokens[id]; the place must be free or hold the same text.
Result<void> Place(VocabularySpec& spec, TokenId id, std::string_view text, std::string_view where) {
  const auto at = static_cast<size_t>(id);
  if (at >= spec.tokens.size()) spec.tokens.resize(at + 1);
  if (!spec.tokens[at].empty() && spec.tokens[at] != text) {
    return Error(Code::kCorrupt, fmt::format("{}: id {} is \"{}\" and \"{}\"", where, id,
                                             std::string_view(spec.tokens[at]).substr(0, 80), text.substr(0, 80)));
  }
  spec.tokens[at] = text;
  return {};
}

Result<void> ReadVocabulary(const json::object& model, VocabularySpec& spec) {
  QUERN_ASSIGN(const json::object* vocab, ObjectAt(model, "vocab", "model."));
  if (vocab->size() > kMaxTokens) {
    return Error(Code::kExhausted, fmt::format("model.vocab: {} tokens, at most {}", vocab->size(), kMaxTokens));
  }
  for (const auto& [key, value] : *vocab) {
    const std::string_view text(key.data(), key.size());
    if (text.empty()) return Error(Code::kCorrupt, "model.vocab: a token without text");
    if (text.size() > kMaxTokenBytes) {
      return Error(Code::kExhausted,
                   fmt::format("model.vocab: a token of {} bytes, at most {}", text.size(), kMaxTokenBytes));
    }
    QUERN_ASSIGN(const TokenId id, ReadId(value, "model.vocab"));
    QUERN_TRY(Place(spec, id, text, "model.vocab"));
  }
  return {};
}

// "left right", or ["left", "right"].
Result<std::pair<std::string, std::string>> ReadMerge(const json::value& value, size_t i) {
  if (value.is_string()) {
    const std::string_view text = View(value.get_string());
    const size_t blank = text.find(' ');
    if (blank != std::string_view::npos && text.find(' ', blank + 1) == std::string_view::npos) {
      return std::pair(std::string(text.substr(0, blank)), std::string(text.substr(blank + 1)));
    }
  } else if (value.is_array() && value.get_array().size() == 2) {
    const json::array& pair = value.get_array();
    if (pair[0].is_string() && pair[1].is_string()) {
      return std::pair(std::string(View(pair[0].get_string())), std::string(View(pair[1].get_string())));
    }
  }
  return Error(Code::kCorrupt, fmt::format("model.merges[{}]: expected \"left right\" or [\"left\", \"right\"], got {}",
                                           i, Show(value)));
}

Result<void> ReadMerges(const json::object& model, VocabularySpec& spec) {
  QUERN_ASSIGN(const json::array* merges, ArrayAt(model, "merges", "model."));
  if (merges->size() > kMaxMerges) {
    return Error(Code::kExhausted, fmt::format("model.merges: {} entries, at most {}", merges->size(), kMaxMerges));
  }
  spec.merges.reserve(merges->size());
  for (size_t i = 0; i < merges->size(); ++i) {
    QUERN_ASSIGN(auto merge, ReadMerge((*merges)[i], i));
    spec.merges.push_back(std::move(merge));
  }
  return {};
}

Result<AddedToken> ReadAddedToken(const json::value& value, size_t i) {
  const std::string where = fmt::format("added_tokens[{}].", i);
  if (!value.is_object()) {
    return Error(Code::kCorrupt, fmt::format("added_tokens[{}]: expected an object, got {}", i, Show(value)));
  }
  const json::object& object = value.get_object();
  for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"}) {
    QUERN_TRY(MustBeOff(object, key, where));
  }
  const std::string_view text = StringAt(object, "content");
  if (text.empty()) return Error(Code::kCorrupt, where + "content: expected a text");
  const json::value* id = object.if_contains("id");
  if (id == nullptr) return Error(Code::kCorrupt, where + "id: missing");
  QUERN_ASSIGN(const TokenId number, ReadId(*id, where + "id"));
  const json::value* special = object.if_contains("special");
  const bool is_special = special != nullptr && special->is_bool() && special->get_bool();
  return AddedToken{number, std::string(text), is_special};
}

Result<void> ReadAddedTokens(const json::object& root, VocabularySpec& spec) {
  const json::value* value = root.if_contains("added_tokens");
  if (value == nullptr || value->is_null()) return {};
  QUERN_ASSIGN(const json::array* added, ArrayAt(root, "added_tokens", ""));
  if (added->size() > kMaxAddedTokens) {
    return Error(Code::kExhausted, fmt::format("added_tokens: {} entries, at most {}", added->size(), kMaxAddedTokens));
  }
  for (size_t i = 0; i < added->size(); ++i) {
    QUERN_ASSIGN(AddedToken token, ReadAddedToken((*added)[i], i));
    QUERN_TRY(Place(spec, token.id, token.text, fmt::format("added_tokens[{}]", i)));
    spec.added.push_back(std::move(token));
  }
  return {};
}

Result<VocabularySpec> ReadRoot(const json::value& value) {
  if (!value.is_object()) return Error(Code::kCorrupt, fmt::format("expected an object, got {}", Show(value)));
  const json::object& root = value.get_object();
  QUERN_ASSIGN(const json::object* model, ObjectAt(root, "model", ""));
  QUERN_TRY(CheckModel(*model));
  QUERN_TRY(CheckPipeline(root));
  VocabularySpec spec;
  QUERN_TRY(ReadVocabulary(*model, spec));
  QUERN_TRY(ReadMerges(*model, spec));
  QUERN_TRY(ReadAddedTokens(root, spec));
  return spec;
}

}  // namespace

Result<VocabularySpec> ReadTokenizerJson(std::string_view text) {
  QUERN_ASSIGN(const json::value root,
               ParseJson(text, {.max_bytes = kMaxJsonBytes, .max_depth = kMaxJsonDepth, .max_values = kMaxJsonValues}));
  try {
    return ReadRoot(root);
  } catch (const std::exception& e) {  // out of memory
    return Error(Code::kExhausted, e.what());
  }
}

}  // namespace quern::tokenizer
