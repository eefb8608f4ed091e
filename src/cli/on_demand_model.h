// [[models]] with a path -> a served model of ours that is loaded when it is asked for.
#pragma once

#include <memory>

#include "api/served_model.h"
#include "base/status.h"
#include "cli/settings.h"
#include "engine/model_host.h"
#include "engine/right_of_way.h"

namespace quern::cli {

// settings: with the entry's overrides. Reads the checkpoint's numbers, its tokenizer and its template now, its weights
// when a request comes; right_of_way is its engine's. Errors: those of LoadFiles, kExhausted (it would not fit the
// host's memory: the numbers).
Result<api::ServedModel> MakeOnDemandModel(const ModelEntry& entry, const Settings& settings,
                                           const std::shared_ptr<engine::ModelHost>& host,
                                           const std::shared_ptr<engine::RightOfWay>& right_of_way);

}  // namespace quern::cli
