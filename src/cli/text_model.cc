#include "cli/text_model.h"

#include <fmt/core.h>

#include "base/os/mapped_file.h"
#include "base/utf8.h"
#include "cli/load_model.h"
#include "cli/progress.h"

namespace quern::cli {
namespace {

constexpr size_t kMaxTextBytes = size_t{256} << 20;

}  // namespace

Result<std::unique_ptr<model::Model>> LoadWeightsOf(const std::string& path, const Settings& settings) {
  Settings one = settings;
  one.model = path;
  QUERN_ASSIGN(const auto found, ModelPath(one));
  ProgressBar bar(fmt::format("loading {}", found.filename().string()));
  return model::Model::Load(found, {.progress = [&](uint64_t done, uint64_t total) { bar.Show(done, total); }});
}

Result<std::vector<model::TokenId>> ReadTextTokens(const model::Checkpoint& checkpoint, const Invocation& invocation) {
  QUERN_ASSIGN(const std::string text, os::ReadTextFile(invocation.file, kMaxTextBytes));
  if (!IsValidUtf8(text)) return Error(Code::kInvalidArgument, fmt::format("{} is not UTF-8 text", invocation.file));
  QUERN_ASSIGN(const auto tokenizer, LoadTokenizer(checkpoint));
  std::vector<model::TokenId> tokens = tokenizer->Encode(text);
  if (invocation.n_tokens > 0 && tokens.size() > static_cast<size_t>(invocation.n_tokens)) {
    tokens.resize(static_cast<size_t>(invocation.n_tokens));
  }
  return tokens;
}

}  // namespace quern::cli
