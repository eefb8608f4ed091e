#include "cli/on_demand_model.h"

#include <utility>

#include "cli/load_model.h"
#include "cli/memory.h"
#include "model/checkpoint.h"

namespace quern::cli {
namespace {

Result<std::shared_ptr<engine::Backend>> LoadBackend(const Settings& settings,
                                                     const std::shared_ptr<engine::RightOfWay>& right_of_way) {
  QUERN_ASSIGN(LoadedFiles files, LoadFiles(settings));
  return StartBackend(files, settings, right_of_way);
}

}  // namespace

Result<api::ServedModel> MakeOnDemandModel(const ModelEntry& entry, const Settings& settings,
                                           const std::shared_ptr<engine::ModelHost>& host,
                                           const std::shared_ptr<engine::RightOfWay>& right_of_way) {
  QUERN_ASSIGN(const auto path, ModelPath(settings));
  QUERN_ASSIGN(const TextFiles text, LoadTextFiles(path));
  engine::OnDemandModel model;
  model.name = entry.name;
  model.info.vocab_size = text.tokenizer->vocab_size();
  model.info.eos_tokens = text.eos_tokens;
  model.info.defaults = text.defaults;
  if (settings.script.empty()) {
    QUERN_ASSIGN(const auto checkpoint, model::Checkpoint::Open(path));
    QUERN_ASSIGN(const LoadedSize size, SizeWhenLoaded(*checkpoint, settings));
    model.info.architecture = model::ArchitectureName(checkpoint->config().architecture);
    model.info.context_length = size.context;
    model.bytes = size.bytes;
  } else {
    // A script has no weights; what it says of itself is what the loaded backend says.
    QUERN_ASSIGN(const auto scripted, LoadBackend(settings, right_of_way));
    model.info = scripted->info();
  }
  model.limits.max_running = settings.max_running;
  model.limits.max_waiting = settings.max_waiting;
  model.limits.max_time = std::chrono::seconds(settings.time_limit);
  model.keep_alive = std::chrono::seconds(settings.keep_alive);
  model.load = [settings, right_of_way] { return LoadBackend(settings, right_of_way); };
  api::ServedModel served;
  served.id = entry.name;
  served.tokenizer = text.tokenizer;
  served.chat_format = text.chat_format;
  QUERN_ASSIGN(served.backend, engine::ModelHost::Add(host, std::move(model)));
  return served;
}

}  // namespace quern::cli
