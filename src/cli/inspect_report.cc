#include "cli/inspect_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "cli/memory.h"
#include "model/f8_scales.h"
#include "model/model.h"
#include "model/mtp_names.h"
#include "tensor/dtype.h"

namespace quern::cli {
namespace {

struct ClassSum {
  int64_t n_parameters = 0;
  uint64_t n_bytes = 0;
  std::set<std::string_view> types;
};

constexpr std::array<std::string_view, 10> kClasses = {"embedding", "attention", "linear",  "norms", "router",
                                                       "experts",   "ffn",       "lm_head", "mtp",   "other"};

std::map<std::string_view, ClassSum> SumByClass(const model::Checkpoint& checkpoint) {
  std::map<std::string_view, ClassSum> sums;
  for (const auto& tensor : checkpoint.tensors()) {
    ClassSum& sum = sums[TensorClass(tensor.name)];
    sum.n_bytes += tensor.bytes.size();
    if (tensor.name.ends_with(model::kF8ScaleSuffix)) continue;  // belongs to the matrix beside it
    sum.n_parameters += tensor.n_elements();
    sum.types.insert(Info(tensor.dtype).name);
  }
  return sums;
}

// One line per type of --kv-type.
std::string KvTable(const model::ModelConfig& config, int n_context) {
  using enum kernels::KvType;
  std::string out = fmt::format("\n{:<14} {:>10} {:>14}\n", "keys, values", "per token", "whole context");
  for (const kernels::KvType type : {kI16, kF16, kBF16, kQ8, kQ4}) {
    const auto bytes = static_cast<uint64_t>(config.KvBytesPerToken({type, type}));
    out += fmt::format("{:<14} {:>10} {:>14}\n", kernels::KvTypeName(type), SizeText(bytes),
                       SizeText(bytes * static_cast<uint64_t>(n_context)));
  }
  return out;
}

std::string Experts(const model::ModelConfig& config) {
  if (config.n_experts == 0) return "";
  return fmt::format("experts        {} of {} per token, width {}\n", config.n_experts_used, config.n_experts,
                     config.d_ff_expert);
}

}  // namespace

std::string_view TensorClass(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (name.starts_with(model::kMtpPrefix)) return "mtp";
  if (has("embed_tokens")) return "embedding";
  if (has("lm_head")) return "lm_head";
  if (has("norm")) return "norms";
  if (has(".linear_attn.")) return "linear";
  if (has(".self_attn.")) return "attention";
  if (has(".mlp.gate.") || has(".mlp.shared_expert_gate.")) return "router";
  if (has(".mlp.experts.") || has(".mlp.shared_expert.")) return "experts";
  if (has(".mlp.")) return "ffn";
  return "other";
}

std::string SizeText(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string CountText(int64_t n) {
  const double value = static_cast<double>(n);
  if (n >= 1'000'000'000) return fmt::format("{:.1f} B", value / 1e9);
  if (n >= 1'000'000) return fmt::format("{:.1f} M", value / 1e6);
  if (n >= 10'000) return fmt::format("{:.1f} K", value / 1e3);
  return std::to_string(n);
}

std::string InspectReport(const model::Checkpoint& checkpoint, int context, std::optional<kernels::KvTypes> kv_types) {
  const model::ModelConfig& config = checkpoint.config();
  const int n_context = context > 0 ? std::min(context, config.context_length) : config.context_length;
  const kernels::KvTypes types = kv_types.value_or(DefaultKvTypes(checkpoint));
  const int64_t kv_per_token = config.KvBytesPerToken(types);
  uint64_t kv = static_cast<uint64_t>(kv_per_token) * static_cast<uint64_t>(n_context);
  std::string out;
  out += fmt::format("checkpoint     {} ({}, {} file{})\n", checkpoint.path().string(),
                     checkpoint.format() == model::CheckpointFormat::kGguf ? "GGUF" : "safetensors",
                     checkpoint.files().size(), checkpoint.files().size() == 1 ? "" : "s");
  out += fmt::format("architecture   {}\n", model::ArchitectureName(config.architecture));
  out += fmt::format("parameters     {}{}\n", CountText(config.CountParameters()),
                     config.tied_embeddings ? " (embedding and lm_head shared)" : "");
  out += fmt::format("layers         {}, width {}, {} heads of {}, {} for keys and values\n", config.n_layers,
                     config.d_model, config.n_heads, config.head_dim, config.n_kv_heads);
  out += Experts(config);
  if (config.n_mtp_layers > 0) out += "mtp head       predicts the token after the next one\n";
  out += fmt::format("vocabulary     {} rows\n", config.vocab);
  out += fmt::format("context        {} tokens{}\n", config.context_length,
                     config.yarn ? fmt::format(" (YaRN, factor {})", config.yarn->factor) : "");
  out += fmt::format("\n{:<11} {:>10} {:>12}  {}\n", "tensors", "parameters", "bytes", "types");
  const auto sums = SumByClass(checkpoint);
  for (const std::string_view name : kClasses) {
    const auto it = sums.find(name);
    if (it == sums.end()) continue;
    std::string types;
    for (const std::string_view type : it->second.types) types += fmt::format("{}{}", types.empty() ? "" : ", ", type);
    out += fmt::format("{:<11} {:>10} {:>12}  {}\n", name, CountText(it->second.n_parameters),
                       SizeText(it->second.n_bytes), types);
  }
  out += KvTable(config, n_context);
  const auto state = static_cast<uint64_t>(config.StateBytesPerSequence());
  if (state > 0) out += fmt::format("states         {} per sequence, whatever its length\n", SizeText(state));
  kv += state;
  const uint64_t weights = model::WeightBytesOf(checkpoint);
  out += fmt::format("memory needed  {} = weights {} + {} for one context of {} tokens in {}\n", SizeText(weights + kv),
                     SizeText(weights), SizeText(kv), n_context, model::KvTypesName(types));
  return out;
}

}  // namespace quern::cli
