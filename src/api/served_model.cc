#include "api/served_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace quern::api {

namespace {

constexpr std::array kPublishedNames = {
    "qwen3-coder-next",
    "qwen3-coder-plus",
    "qwen3-coder-flash",
    "qwen3-coder-480b-a35b-instruct",
    "qwen3-coder-30b-a3b-instruct",
    "qwen3-coder-plus-2025-07-22",
    "qwen3-coder-plus-2025-09-23",
    "qwen3-coder-flash-2025-07-28",
    "qwen/qwen3-coder-next",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    "qwen-coder-turbo",
    "qwen2.5-coder-32b-instruct",
};

std::string Normalised(std::string_view name) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!name.empty() && is_blank(name.front())) name.remove_prefix(1);
  while (!name.empty() && is_blank(name.back())) name.remove_suffix(1);
  std::string out(name);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

int ServedModel::max_output() const { return std::min(max_output_tokens, context_length()); }

bool ModelRegistry::AddName(std::string_view name, const std::shared_ptr<const ServedModel>& model) {
  if (!by_name_.emplace(Normalised(name), model).second) return false;
  listings_.push_back({std::string(name), model});
  return true;
}

Result<void> ModelRegistry::Add(ServedModel model, const std::vector<std::string>& aliases) {
  if (model.id.empty() || !model.backend || !model.tokenizer || !model.chat_format) {
    return Error(Code::kInvalidArgument, "a served model needs an id, a backend, a tokenizer and a chat format");
  }
  if (model.created == 0) model.created = UnixSeconds();
  if (model.display_name.empty()) model.display_name = model.id;
  model.grammars = grammar::GrammarCompiler::Create(model.tokenizer);
  for (int id = 0; id < model.tokenizer->vocab_size(); ++id) {
    model.max_token_bytes = std::max(model.max_token_bytes, model.tokenizer->TokenBytes(id).size());
  }
  auto shared = std::make_shared<const ServedModel>(std::move(model));
  if (!AddName(shared->id, shared)) {
    return Error(Code::kInvalidArgument, fmt::format("model name '{}' is already taken", shared->id));
  }
  models_.push_back(shared);
  for (const std::string& alias : aliases) {
    if (!AddName(alias, shared)) {
      return Error(Code::kInvalidArgument, fmt::format("model alias '{}' is already taken", alias));
    }
  }
  return {};
}

void ModelRegistry::AddPublishedNames() {
  if (models_.empty()) return;
  for (const char* name : kPublishedNames) AddName(name, models_.front());
}

std::shared_ptr<const ServedModel> ModelRegistry::Find(std::string_view name) const {
  const std::string key = Normalised(name);
  if (const auto it = by_name_.find(key); it != by_name_.end()) return it->second;
  if (catch_all_ && !models_.empty() && (key.starts_with("claude-") || key.starts_with("gpt-"))) return models_.front();
  return nullptr;
}

}  // namespace quern::api
