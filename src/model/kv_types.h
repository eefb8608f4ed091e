// The names by which people choose what keys and values are stored as.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "kernels/kv_layout.h"

namespace quern::model {

// "q8", or "q8,q4" for keys and values of their own: f32, i16, f16, bf16, q8, q4. Errors: kInvalidArgument.
Result<kernels::KvTypes> ParseKvTypes(std::string_view text);

// The inverse.
std::string KvTypesName(kernels::KvTypes types);

}  // namespace quern::model
