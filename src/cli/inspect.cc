#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/inspect_report.h"
#include "cli/load_model.h"

namespace quern::cli {

Result<int> RunInspect(const Invocation& invocation) {
  Settings settings = invocation.settings;
  if (invocation.has_positional) settings.model = invocation.positional;
  QUERN_ASSIGN(const auto path, ModelPath(settings));
  QUERN_ASSIGN(const std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));
  fmt::print("{}", InspectReport(*checkpoint, settings.context, settings.kv_types));
  return kExitDone;
}

}  // namespace quern::cli
