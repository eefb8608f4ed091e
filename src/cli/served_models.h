// Settings -> the models that `quern serve` offers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/served_model.h"
#include "base/status.h"
#include "cli/settings.h"

namespace quern::cli {

// The model of --model (or the one in the box, unless [[models]] name others), then those of [[models]] in their order.
// The first is loaded now; those of [[models]] share what memory is left and are loaded when they are asked for, or run
// elsewhere. Errors: those of LoadFiles and StartBackend; kInvalidArgument (a name twice, an
// upstream's url or key), each naming the model.
Result<std::shared_ptr<const api::ModelRegistry>> MakeRegistry(const Settings& settings);

// The settings as they are for one model: with what its table says otherwise.
Result<Settings> SettingsOf(const ModelEntry& entry, const Settings& settings);

}  // namespace quern::cli
