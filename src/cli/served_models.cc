#include "cli/served_models.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "cli/load_model.h"
#include "cli/memory.h"
#include "cli/on_demand_model.h"
#include "cli/upstream_model.h"
#include "engine/memory_plan.h"
#include "engine/model_host.h"
#include "model/checkpoint.h"

namespace quern::cli {
namespace {

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<api::ServedModel> LoadOwn(const Settings& settings, const std::shared_ptr<engine::RightOfWay>& right_of_way) {
  QUERN_ASSIGN(LoadedFiles files, LoadFiles(settings));
  QUERN_ASSIGN(auto backend, StartBackend(files, settings, right_of_way));
  api::ServedModel served;
  served.id = ModelName(settings, files.path);
  served.backend = std::move(backend);
  served.tokenizer = files.tokenizer;
  served.chat_format = files.chat_format;
  return served;
}

// The memory that is left for the models of [[models]] beside the one that is always there.
Result<uint64_t> MemoryOfHost(const Settings& settings, bool has_own) {
  const uint64_t memory = settings.memory > 0 ? settings.memory : engine::MemoryForModels();
  if (!has_own || !settings.script.empty()) return memory;
  QUERN_ASSIGN(const auto path, ModelPath(settings));
  QUERN_ASSIGN(const auto checkpoint, model::Checkpoint::Open(path));
  QUERN_ASSIGN(const LoadedSize own, SizeWhenLoaded(*checkpoint, settings));
  return memory - std::min(memory, own.bytes);
}

}  // namespace

Result<Settings> SettingsOf(const ModelEntry& entry, const Settings& settings) {
  Settings own = settings;
  own.models.clear();
  own.model = entry.path;
  own.script = entry.script;
  for (const auto& [key, text] : entry.overrides) QUERN_TRY(FindOption(key)->set(own, text));
  return own;
}

Result<std::shared_ptr<const api::ModelRegistry>> MakeRegistry(const Settings& settings) {
  auto registry = std::make_shared<api::ModelRegistry>();
  const auto right_of_way = std::make_shared<engine::RightOfWay>();
  const bool has_own = settings.models.empty() || !settings.model.empty() || !settings.script.empty();
  if (has_own) {
    QUERN_ASSIGN(api::ServedModel served, LoadOwn(settings, right_of_way));
    served.created = UnixSeconds();
    QUERN_TRY(registry->Add(std::move(served), settings.aliases));
  }
  std::shared_ptr<engine::ModelHost> host;
  for (const ModelEntry& entry : settings.models) {
    const bool ours = entry.upstreams.empty();
    if (ours && !host) {
      QUERN_ASSIGN(const uint64_t memory, MemoryOfHost(settings, has_own));
      const engine::ModelHost::Options options{.memory = memory,
                                               .load_timeout = std::chrono::seconds(settings.load_timeout),
                                               .fair_wait = std::chrono::seconds(settings.fair_wait)};
      host = std::make_shared<engine::ModelHost>(options);
    }
    QUERN_ASSIGN(const Settings own, SettingsOf(entry, settings));
    auto served = ours ? MakeOnDemandModel(entry, own, host, right_of_way) : MakeUpstreamModel(entry, own);
    if (!served) return std::unexpected(served.error().WithContext(fmt::format("model \"{}\"", entry.name)));
    served->created = UnixSeconds();
    QUERN_TRY(registry->Add(std::move(*served), entry.aliases));
  }
  if (!settings.own_name_only) registry->AddPublishedNames();
  if (settings.catch_all) registry->EnableCatchAll();
  return std::shared_ptr<const api::ModelRegistry>(std::move(registry));
}

}  // namespace quern::cli
