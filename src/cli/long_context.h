// A context beyond what the model was trained for.
#pragma once

#include <optional>

#include "base/status.h"
#include "cli/settings.h"
#include "model/config.h"

namespace quern::cli {

// The YaRN factor to load the model with; nullopt: as the checkpoint says. Errors: kInvalidArgument: the settings ask
// for more context than the model has, with or without YaRN; the message proposes the flag that makes it possible and
// says what that costs.
Result<std::optional<double>> YarnFactor(const Settings& settings, const model::ModelConfig& config);

}  // namespace quern::cli
