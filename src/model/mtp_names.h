// The multi-token prediction head's tensors under one naming, that of the published checkpoints:
//   mtp.fc.weight, mtp.pre_fc_norm_embedding.weight, mtp.pre_fc_norm_hidden.weight, mtp.norm.weight
//   mtp.layers.0.*            a block of attention and feed-forward, named as the model's layers are
//   mtp.embed_tokens.weight, mtp.lm_head.weight   of its own; in some GGUF files only
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/stored_tensor.h"

namespace quern::model {

inline constexpr std::string_view kMtpPrefix = "mtp.";
inline constexpr std::string_view kMtpBlock = "mtp.layers.0.";

// Renames the head's tensors: "model.mtp.*" of some safetensors, and the blocks that a GGUF file appends to its layers
// ("model.layers.L.*" and "blk.L.nextn.*" with L = config.n_layers). Sets config.n_mtp_layers to the number of blocks;
// 0 without a head. Tensors of architectures that have no such head stay as they are. Errors: kUnsupported (more than
// one block).
Result<void> NameMtpTensors(CheckpointFormat format, std::vector<StoredTensor>& tensors, ModelConfig& config);

// What GGUF calls a tensor of the head outside its block, behind "blk.L."; nullopt for any other tensor.
std::optional<std::string_view> GgufMtpName(std::string_view name);

}  // namespace quern::model
