#include "cli/load_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <chrono>

#include "base/json.h"
#include "base/os/mapped_file.h"
#include "cli/long_context.h"
#include "cli/memory.h"
#include "cli/progress.h"
#include "engine/native_engine.h"
#include "engine/scripted_backend.h"
#include "model/gguf.h"
#include "tokenizer/vocabulary_gguf.h"

namespace quern::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTokenizerBytes = 256U << 20;
constexpr size_t kMaxTemplateBytes = 4U << 20;
constexpr double kSlowLoadSeconds = 5;  // from here on a packed file is worth its place on the disk
constexpr size_t kMaxScriptBytes = 64U << 20;

std::vector<fs::path> BoxPlaces() {
  std::vector<fs::path> places;
  std::error_code ec;
  const fs::path program = fs::read_symlink("/proc/self/exe", ec);
  if (!ec) {
    places.push_back(program.parent_path() / "../models/demo");
    places.push_back(program.parent_path() / "../share/quern/models/demo");
  }
  places.emplace_back(QUERN_SOURCE_DIR "/models/demo");
  for (fs::path& place : places) place = place.lexically_normal();
  return places;
}

Result<std::string> TemplateOfConfig(const fs::path& file) {
  QUERN_ASSIGN(const std::string text, os::ReadTextFile(file, kMaxTokenizerBytes));
  const auto parsed = ParseJson(text, {.max_bytes = kMaxTokenizerBytes});
  if (!parsed) return std::unexpected(parsed.error().WithContext(file.string()));
  const auto* object = parsed->if_object();
  const auto* value = object != nullptr ? object->if_contains("chat_template") : nullptr;
  if (value == nullptr || value->is_null()) return std::string();
  if (const auto* one = value->if_string()) return std::string(one->c_str(), one->size());
  const auto bad = [&] {
    return Error(Code::kCorrupt, fmt::format("{}: chat_template is {}, expected a string or a list of objects with "
                                             "name and template",
                                             file.string(), JsonKindName(*value)));
  };
  const auto* list = value->if_array();
  if (list == nullptr) return bad();
  std::string first;
  for (const auto& entry : *list) {
    const auto* named = entry.if_object();
    const auto* name = named != nullptr ? named->if_contains("name") : nullptr;
    const auto* source = named != nullptr ? named->if_contains("template") : nullptr;
    if (name == nullptr || source == nullptr || !name->is_string() || !source->is_string()) return bad();
    std::string content(source->get_string().c_str(), source->get_string().size());
    if (name->get_string() == "default") return content;
    if (first.empty()) first = content;
  }
  return first;
}

Result<std::shared_ptr<const tokenizer::Tokenizer>> TokenizerOfGguf(const model::GgufFile& file) {
  QUERN_ASSIGN(const model::GgufTokenizer found, model::ReadGgufTokenizer(file));
  QUERN_ASSIGN(tokenizer::VocabularySpec spec, tokenizer::SpecFromGguf({.model = found.model,
                                                                        .pre = found.pre,
                                                                        .tokens = found.tokens,
                                                                        .types = found.token_types,
                                                                        .merges = found.merges}));
  return tokenizer::Tokenizer::FromSpec(std::move(spec));
}

engine::SamplingDefaults DefaultsOf(const model::GenerationConfig& generation) {
  engine::SamplingDefaults defaults;
  defaults.temperature = generation.temperature.value_or(defaults.temperature);
  defaults.top_p = generation.top_p.value_or(defaults.top_p);
  defaults.top_k = generation.top_k.value_or(defaults.top_k);
  defaults.min_p = generation.min_p.value_or(defaults.min_p);
  defaults.repetition_penalty = generation.repetition_penalty.value_or(defaults.repetition_penalty);
  return defaults;
}

std::vector<engine::TokenId> EosOf(const model::Checkpoint& checkpoint, int vocab_size) {
  std::vector<engine::TokenId> eos = checkpoint.generation().eos_tokens;
  const auto& more = checkpoint.config().eos_tokens;
  eos.insert(eos.end(), more.begin(), more.end());
  std::vector<engine::TokenId> distinct;
  for (const engine::TokenId id : eos) {
    const bool known = std::find(distinct.begin(), distinct.end(), id) != distinct.end();
    if (!known && id >= 0 && id < vocab_size) distinct.push_back(id);
  }
  return distinct;
}

engine::EngineLimits LimitsOf(const Settings& settings) {
  engine::EngineLimits limits;
  limits.max_running = settings.max_running;
  limits.max_waiting = settings.max_waiting;
  limits.max_time = std::chrono::seconds(settings.time_limit);
  return limits;
}

Result<std::shared_ptr<const tokenizer::Tokenizer>> TokenizerOfFolder(const fs::path& folder) {
  const fs::path file = folder / "tokenizer.json";
  QUERN_ASSIGN(const std::string json, os::ReadTextFile(file, kMaxTokenizerBytes));
  auto tokenizer = tokenizer::Tokenizer::FromJson(json);
  if (!tokenizer) return std::unexpected(tokenizer.error().WithContext(file.string()));
  return tokenizer;
}

Result<std::string> TemplateOfFolder(const fs::path& folder) {
  std::error_code ec;
  const fs::path jinja = folder / "chat_template.jinja";
  if (fs::exists(jinja, ec)) return os::ReadTextFile(jinja, kMaxTemplateBytes);
  const fs::path config = folder / "tokenizer_config.json";
  if (fs::exists(config, ec)) return TemplateOfConfig(config);
  return std::string();
}

Result<std::shared_ptr<const chat::ChatFormat>> FormatOf(const std::string& source, const fs::path& path) {
  auto chat_format = chat::ChatFormat::Create(source);
  if (!chat_format) return std::unexpected(chat_format.error().WithContext(path.string() + ": chat template"));
  return std::shared_ptr<const chat::ChatFormat>(std::move(*chat_format));
}

// The text of a file that need not be there.
Result<std::string> ReadIfThere(const fs::path& file) {
  std::error_code ec;
  return fs::exists(file, ec) ? os::ReadTextFile(file, kMaxTemplateBytes) : Result<std::string>(std::string());
}

Result<TextFiles> TextOfFolder(const fs::path& folder) {
  TextFiles files;
  QUERN_ASSIGN(files.tokenizer, TokenizerOfFolder(folder));
  QUERN_ASSIGN(const std::string source, TemplateOfFolder(folder));
  QUERN_ASSIGN(files.chat_format, FormatOf(source, folder));
  QUERN_ASSIGN(const std::string generation, ReadIfThere(folder / "generation_config.json"));
  if (!generation.empty()) {
    const auto parsed = model::ParseGenerationConfig(generation);
    if (!parsed) return std::unexpected(parsed.error().WithContext((folder / "generation_config.json").string()));
    files.defaults = DefaultsOf(*parsed);
    files.eos_tokens = parsed->eos_tokens;
  }
  QUERN_ASSIGN(const std::string config, ReadIfThere(folder / "config.json"));
  // Its architecture may be one that we do not compute; then the numbers are given by hand.
  if (const auto parsed = model::ParseConfig(config); parsed) files.context_length = parsed->context_length;
  return files;
}

}  // namespace

Result<fs::path> ModelPath(const Settings& settings) {
  std::error_code ec;
  if (!settings.model.empty()) {
    if (!fs::exists(settings.model, ec))
      return Error(Code::kNotFound, fmt::format("there is no model at {}", settings.model));
    return fs::path(settings.model);
  }
  std::string looked;
  for (const fs::path& place : BoxPlaces()) {
    if (fs::exists(place / "config.json", ec)) return place;
    looked += fmt::format("{}{}", looked.empty() ? "" : ", ", place.string());
  }
  return Error(Code::kNotFound,
               fmt::format("no --model is given and the model in the box is not there (looked at {})", looked));
}

Result<std::shared_ptr<const tokenizer::Tokenizer>> LoadTokenizer(const model::Checkpoint& checkpoint) {
  if (checkpoint.gguf() == nullptr) return TokenizerOfFolder(checkpoint.path());
  auto tokenizer = TokenizerOfGguf(*checkpoint.gguf());
  if (!tokenizer) return std::unexpected(tokenizer.error().WithContext(checkpoint.path().string()));
  return tokenizer;
}

Result<std::string> ReadChatTemplate(const model::Checkpoint& checkpoint) {
  if (checkpoint.gguf() == nullptr) return TemplateOfFolder(checkpoint.path());
  QUERN_ASSIGN(const auto text, checkpoint.gguf()->StringOrNone("tokenizer.chat_template"));
  return std::string(text.value_or(""));
}

Result<TextFiles> LoadTextFiles(const fs::path& path) {
  TextFiles files;
  if (fs::is_directory(path)) {
    QUERN_ASSIGN(files, TextOfFolder(path));
  } else {
    QUERN_ASSIGN(const auto checkpoint, model::Checkpoint::Open(path));
    QUERN_ASSIGN(files.tokenizer, LoadTokenizer(*checkpoint));
    QUERN_ASSIGN(const std::string source, ReadChatTemplate(*checkpoint));
    QUERN_ASSIGN(files.chat_format, FormatOf(source, path));
    files.defaults = DefaultsOf(checkpoint->generation());
    files.eos_tokens = EosOf(*checkpoint, files.tokenizer->vocab_size());
    files.context_length = checkpoint->config().context_length;
  }
  const engine::BackendInfo known{.eos_tokens = files.eos_tokens};
  files.eos_tokens = StopTokens(known, *files.tokenizer);
  std::erase_if(files.eos_tokens, [&](engine::TokenId id) { return id < 0 || id >= files.tokenizer->vocab_size(); });
  return files;
}

std::shared_ptr<const model::PackedFile> FindPacked(const model::Checkpoint& checkpoint) {
  const fs::path path = model::PackedPathOf(checkpoint.path());
  std::error_code ec;
  if (!fs::exists(path, ec)) return nullptr;
  auto packed = model::PackedFile::Open(path, checkpoint);
  if (packed) return *packed;
  fmt::print(stderr, "quern: the packed file is not used: {}\n", packed.error().message());
  return nullptr;
}

Result<LoadedFiles> LoadFiles(const Settings& settings) {
  LoadedFiles files;
  QUERN_ASSIGN(files.path, ModelPath(settings));
  QUERN_ASSIGN(files.checkpoint, model::Checkpoint::Open(files.path));
  QUERN_ASSIGN(files.tokenizer, LoadTokenizer(*files.checkpoint));
  QUERN_ASSIGN(const std::string source, ReadChatTemplate(*files.checkpoint));
  QUERN_ASSIGN(files.chat_format, FormatOf(source, files.path));
  if (!settings.script.empty()) return files;
  QUERN_ASSIGN(const auto yarn_factor, YarnFactor(settings, files.checkpoint->config()));
  QUERN_ASSIGN(files.kv_bytes, KvBudget(*files.checkpoint, settings));
  model::LoadOptions load;
  load.yarn_factor = yarn_factor;
  load.packed = FindPacked(*files.checkpoint);
  if (settings.allow_swap_from_disk && load.packed == nullptr)
    return Error(Code::kInvalidArgument,
                 fmt::format("--allow-swap-from-disk needs a packed file beside {}: quern pack {}",
                             files.path.filename().string(), files.path.string()));
  if (load.packed != nullptr && !settings.allow_swap_from_disk) load.packed->ReadAhead();
  const auto begin = std::chrono::steady_clock::now();
  {
    ProgressBar bar(fmt::format("loading {}", files.path.filename().string()));
    load.progress = [&](uint64_t done, uint64_t total) { bar.Show(done, total); };
    QUERN_ASSIGN(files.model, model::Model::Load(files.checkpoint, load));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (load.packed == nullptr && seconds > kSlowLoadSeconds)
    fmt::print(
        stderr,
        "quern: loading took {:.0f} s; `quern pack {}` keeps the result ({}), and the next start is done at once\n",
        seconds, files.path.string(), engine::BytesText(files.model->weight_bytes()));
  return files;
}

Result<std::shared_ptr<engine::Backend>> StartBackend(LoadedFiles& files, const Settings& settings,
                                                      std::shared_ptr<engine::RightOfWay> right_of_way) {
  if (!settings.script.empty()) {
    QUERN_ASSIGN(const std::string script, os::ReadTextFile(settings.script, kMaxScriptBytes));
    auto backend = engine::ScriptedBackend::Create(script, files.tokenizer, LimitsOf(settings));
    if (!backend) return std::unexpected(backend.error().WithContext(settings.script));
    return std::shared_ptr<engine::Backend>(std::move(*backend));
  }
  const int n_text = files.tokenizer->vocab_size(), n_rows = files.checkpoint->config().vocab;
  if (n_text > n_rows)
    return Error(Code::kCorrupt, fmt::format("{}: the tokenizer has {} tokens, the embedding only {} rows",
                                             files.path.string(), n_text, n_rows));
  engine::NativeOptions options;
  options.limits = LimitsOf(settings);
  options.right_of_way = std::move(right_of_way);
  options.n_threads = settings.threads;
  options.context_length = settings.context;
  options.kv_types = settings.kv_types;
  options.vocab_size = n_text;
  options.eos_tokens = EosOf(*files.checkpoint, n_text);
  options.defaults = DefaultsOf(files.checkpoint->generation());
  if (const auto size = SizeWhenLoaded(*files.checkpoint, settings)) options.resident_bytes = size->bytes;
  const int whole = files.model->config().context_length;
  QUERN_ASSIGN(engine::NativeParts parts, engine::MakeNativeParts(std::move(files.model), files.kv_bytes, options));
  QUERN_ASSIGN(auto backend, engine::CreateNativeEngine(std::move(parts), options));
  if (settings.context > backend->info().context_length)
    return Error(
        Code::kExhausted,
        fmt::format("--context {} is not possible: the model and the memory for keys and values allow {} tokens "
                    "(see --kv-memory)",
                    settings.context, backend->info().context_length));
  const int given = backend->info().context_length;
  if (settings.context == 0 && given < whole)
    fmt::print(stderr, "quern: the context is {} of the model's {} tokens; --kv-memory allows more\n", given, whole);
  return std::shared_ptr<engine::Backend>(std::move(backend));
}

std::vector<engine::TokenId> StopTokens(const engine::BackendInfo& info, const tokenizer::Tokenizer& tokenizer) {
  std::vector<engine::TokenId> stops = info.eos_tokens;
  for (const char* text : {"<|im_end|>", "<|endoftext|>"}) {
    const engine::TokenId id = tokenizer.AddedTokenId(text);
    if (id >= 0 && std::find(stops.begin(), stops.end(), id) == stops.end()) stops.push_back(id);
  }
  return stops;
}

std::string ModelName(const Settings& settings, const fs::path& path) {
  if (!settings.name.empty()) return settings.name;
  if (settings.model.empty()) return "quern-demo";
  std::error_code ec;
  const fs::path whole = fs::weakly_canonical(path, ec);
  const fs::path& named = ec ? path : whole;
  const std::string name = named.extension() == ".gguf" ? named.stem().string() : named.filename().string();
  return name.empty() ? "model" : name;
}

}  // namespace quern::cli
