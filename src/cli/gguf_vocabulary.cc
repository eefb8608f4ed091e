#include "cli/gguf_vocabulary.h"

#include <fmt/core.h>

#include "base/os/mapped_file.h"
#include "cli/load_model.h"
#include "tokenizer/tokenizer_json.h"

namespace quern::cli {
namespace {

// The format's numbers.
constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;
constexpr int32_t kUserDefined = 4;
constexpr int32_t kUnused = 5;

bool LooksLikeControl(std::string_view text) { return text.starts_with("<|") && text.ends_with("|>"); }

model::GgufVocabularyKeys KeysOf(const tokenizer::VocabularySpec& spec, int n_rows) {
  model::GgufVocabularyKeys keys;
  keys.tokens = spec.tokens;
  keys.token_types.assign(spec.tokens.size(), kNormal);
  for (const auto& added : spec.added) {
    const auto id = static_cast<size_t>(added.id);
    if (id >= keys.tokens.size()) {
      keys.tokens.resize(id + 1);
      keys.token_types.resize(id + 1, kNormal);
    }
    keys.tokens[id] = added.text;
    keys.token_types[id] = added.special || LooksLikeControl(added.text) ? kControl : kUserDefined;
  }
  const size_t n = std::max(keys.tokens.size(), static_cast<size_t>(n_rows));
  keys.tokens.resize(n);
  keys.token_types.resize(n, kUnused);
  for (size_t id = 0; id < n; ++id) {
    if (!keys.tokens[id].empty()) continue;
    keys.tokens[id] = fmt::format("[PAD{}]", id);
    keys.token_types[id] = kUnused;
  }
  for (const auto& [left, right] : spec.merges) keys.merges.push_back(fmt::format("{} {}", left, right));
  return keys;
}

}  // namespace

Result<std::optional<model::GgufVocabularyKeys>> ReadVocabularyKeys(const model::Checkpoint& checkpoint) {
  const std::filesystem::path file = checkpoint.path() / "tokenizer.json";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::nullopt;
  QUERN_ASSIGN(const std::string json, os::ReadTextFile(file, tokenizer::kMaxJsonBytes));
  auto spec = tokenizer::ReadTokenizerJson(json);
  if (!spec) return std::unexpected(spec.error().WithContext(file.string()));
  model::GgufVocabularyKeys keys = KeysOf(*spec, checkpoint.config().vocab);
  if (keys.tokens.size() > static_cast<size_t>(checkpoint.config().vocab)) {
    return Error(Code::kCorrupt, fmt::format("{} has {} tokens, the embedding only {} rows", file.string(),
                                             keys.tokens.size(), checkpoint.config().vocab));
  }
  QUERN_ASSIGN(keys.chat_template, ReadChatTemplate(checkpoint));
  return keys;
}

}  // namespace quern::cli
