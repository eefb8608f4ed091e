// What `quern inspect` says about a checkpoint.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/checkpoint.h"
#include "model/kv_types.h"

namespace quern::cli {

// "embedding", "attention", "linear", "norms", "router", "experts", "ffn", "lm_head", "mtp" or "other", by the tensor's
// name.
std::string_view TensorClass(std::string_view name);

// "1.5 GiB"; below 1 KiB in bytes.
std::string SizeText(uint64_t bytes);

// "30.5 B", "13.2 M", "512".
std::string CountText(int64_t n);

// Several lines, the last one ended. context: tokens to plan for; 0 = the model's own. kv_types: of the sum; default as
// the model would choose.
std::string InspectReport(const model::Checkpoint& checkpoint, int context,
                          std::optional<kernels::KvTypes> kv_types = {});

}  // namespace quern::cli
