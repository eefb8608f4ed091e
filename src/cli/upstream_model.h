// [[models]] with upstreams -> a served model that runs elsewhere.
#pragma once

#include "api/served_model.h"
#include "base/status.h"
#include "cli/settings.h"

namespace quern::cli {

// settings: with the entry's overrides. Reads the tokenizer and the keys; starts the backend, which asks the upstreams
// for their health from then on. Errors: kInvalidArgument, kNotFound; a key's value is in no message.
Result<api::ServedModel> MakeUpstreamModel(const ModelEntry& entry, const Settings& settings);

}  // namespace quern::cli
