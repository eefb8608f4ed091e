#include "model/mtp_names.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace quern::model {
namespace {

constexpr std::string_view kOtherPrefix = "model.mtp.";

// Behind "blk.L." and "mtp.".
constexpr std::pair<std::string_view, std::string_view> kParts[] = {
    {"nextn.eh_proj.weight", "fc.weight"},
    {"nextn.enorm.weight", "pre_fc_norm_embedding.weight"},
    {"nextn.hnorm.weight", "pre_fc_norm_hidden.weight"},
    {"nextn.shared_head_norm.weight", "norm.weight"},
    {"nextn.embed_tokens.weight", "embed_tokens.weight"},
    {"nextn.shared_head_head.weight", "lm_head.weight"},
};

// The name of a tensor of GGUF's block `block`, as AddTensors left it; the same name when it is not of that block.
std::string FromBlock(const std::string& name, int block) {
  const std::string layer = fmt::format("model.layers.{}.", block), gguf = fmt::format("blk.{}.", block);
  if (name.starts_with(layer)) return fmt::format("{}{}", kMtpBlock, name.substr(layer.size()));
  if (!name.starts_with(gguf)) return name;
  const auto part = std::ranges::find(kParts, std::string_view(name).substr(gguf.size()),
                                      &std::pair<std::string_view, std::string_view>::first);
  return part == std::end(kParts) ? name : fmt::format("{}{}", kMtpPrefix, part->second);
}

}  // namespace

Result<void> NameMtpTensors(CheckpointFormat format, std::vector<StoredTensor>& tensors, ModelConfig& config) {
  if (config.architecture != Architecture::kQwen3Next) return {};
  if (config.n_mtp_layers > 1) {
    return Error(Code::kUnsupported,
                 fmt::format("{} blocks for multi-token prediction, expected at most one", config.n_mtp_layers));
  }
  for (StoredTensor& tensor : tensors) {
    if (config.n_mtp_layers > 0) {
      tensor.name = FromBlock(tensor.name, config.n_layers);
    } else if (format == CheckpointFormat::kSafetensors && tensor.name.starts_with(kOtherPrefix)) {
      tensor.name = fmt::format("{}{}", kMtpPrefix, tensor.name.substr(kOtherPrefix.size()));
    }
  }
  if (format == CheckpointFormat::kSafetensors) {
    const auto is_part = [](const StoredTensor& tensor) { return tensor.name.starts_with(kMtpPrefix); };
    config.n_mtp_layers = std::ranges::any_of(tensors, is_part) ? 1 : 0;
  }
  return {};
}

std::optional<std::string_view> GgufMtpName(std::string_view name) {
  if (!name.starts_with(kMtpPrefix)) return std::nullopt;
  const auto part =
      std::ranges::find(kParts, name.substr(kMtpPrefix.size()), &std::pair<std::string_view, std::string_view>::second);
  return part == std::end(kParts) ? std::nullopt : std::optional(part->first);
}

}  // namespace quern::model
