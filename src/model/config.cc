#include "model/config.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "model/delta_net_state.h"

namespace quern::model {
namespace {

Result<void> CheckRange(std::string_view name, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return {};
  return Error(Code::kInvalidArgument, fmt::format("{} is {}, expected {} to {}", name, value, min, max));
}

Result<void> CheckMoe(const ModelConfig& config) {
  QUERN_TRY(CheckRange("num_experts", config.n_experts, 1, kMaxExperts));
  QUERN_TRY(CheckRange("num_experts_per_tok", config.n_experts_used, 1, config.n_experts));
  QUERN_TRY(CheckRange("moe_intermediate_size", config.d_ff_expert, 1, kMaxDFf));
  QUERN_TRY(CheckRange("shared_expert_intermediate_size", config.d_ff_shared, 0, kMaxDFf));
  QUERN_TRY(CheckRange("decoder_sparse_step", config.decoder_sparse_step, 1, kMaxLayers));
  for (const int layer : config.mlp_only_layers) {
    QUERN_TRY(CheckRange("a layer of mlp_only_layers", layer, 0, config.n_layers - 1));
  }
  return {};
}

Result<void> CheckDeltaNet(const ModelConfig& config) {
  if (config.layer_kinds.empty()) return {};
  if (config.layer_kinds.size() != static_cast<size_t>(config.n_layers)) {
    return Error(Code::kInvalidArgument, fmt::format("{} layers have a kind, num_hidden_layers is {}",
                                                     config.layer_kinds.size(), config.n_layers));
  }
  if (config.CountLayers(LayerKind::kFullAttention) == 0) {
    return Error(Code::kUnsupported, "a model without a layer of full attention is not supported");
  }
  if (config.CountLayers(LayerKind::kGatedDeltaNet) == 0) return {};
  QUERN_TRY(CheckRange("linear_num_key_heads", config.n_linear_key_heads, 1, kMaxHeads));
  QUERN_TRY(CheckRange("linear_num_value_heads", config.n_linear_value_heads, 1, kMaxHeads));
  if (config.n_linear_value_heads % config.n_linear_key_heads != 0) {
    return Error(Code::kInvalidArgument,
                 fmt::format("linear_num_value_heads {} is no multiple of linear_num_key_heads {}",
                             config.n_linear_value_heads, config.n_linear_key_heads));
  }
  QUERN_TRY(CheckRange("linear_key_head_dim", config.linear_key_dim, 1, kMaxHeadDim));
  QUERN_TRY(CheckRange("linear_value_head_dim", config.linear_value_dim, 1, kMaxHeadDim));
  return CheckRange("linear_conv_kernel_dim", config.conv_width, 1, kMaxConvWidth);
}

Result<void> CheckRope(const ModelConfig& config) {
  // The negated form also refuses NaN.
  if (!(config.rope_theta > 1 && config.rope_theta <= 1e15)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("rope_theta is {}, expected above 1, up to 1e15", config.rope_theta));
  }
  if (!config.yarn.has_value()) return {};
  const YarnScaling& yarn = *config.yarn;
  if (!(yarn.factor >= 1 && yarn.factor <= 1024)) {
    return Error(Code::kInvalidArgument, fmt::format("YaRN factor is {}, expected 1 to 1024", yarn.factor));
  }
  QUERN_TRY(CheckRange("YaRN original_max_position_embeddings", yarn.original_context, 1, kMaxContext));
  if (!(yarn.beta_slow > 0 && yarn.beta_fast > yarn.beta_slow && yarn.beta_fast <= 1e6)) {
    return Error(Code::kInvalidArgument, fmt::format("YaRN beta_fast is {} and beta_slow {}, expected 0 < slow < fast",
                                                     yarn.beta_fast, yarn.beta_slow));
  }
  if (yarn.attention_factor.has_value() && !(*yarn.attention_factor > 0 && *yarn.attention_factor <= 100)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("YaRN attention_factor is {}, expected above 0, up to 100", *yarn.attention_factor));
  }
  return {};
}

}  // namespace

std::string_view ArchitectureName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kQwen2:
      return "qwen2";
    case Architecture::kQwen3:
      return "qwen3";
    case Architecture::kQwen3Moe:
      return "qwen3_moe";
    case Architecture::kQwen3Next:
      return "qwen3_next";
  }
  return "unknown";
}

std::vector<LayerKind> LayerKindsOf(int n_layers, int interval) {
  // Limited here because the number of layers is checked only in FinishConfig.
  std::vector<LayerKind> kinds(static_cast<size_t>(std::clamp(n_layers, 0, kMaxLayers)), LayerKind::kGatedDeltaNet);
  for (size_t layer = 0; layer < kinds.size(); ++layer) {
    if (interval > 0 && (layer + 1) % static_cast<size_t>(interval) == 0) kinds[layer] = LayerKind::kFullAttention;
  }
  return kinds;
}

bool ModelConfig::IsMoeLayer(int layer) const {
  if (n_experts == 0 || (layer + 1) % decoder_sparse_step != 0) return false;
  return std::find(mlp_only_layers.begin(), mlp_only_layers.end(), layer) == mlp_only_layers.end();
}

LayerKind ModelConfig::KindOf(int layer) const {
  return layer_kinds.empty() ? LayerKind::kFullAttention : layer_kinds[static_cast<size_t>(layer)];
}

int ModelConfig::CountLayers(LayerKind kind) const {
  int n = 0;
  for (int layer = 0; layer < n_layers; ++layer) n += KindOf(layer) == kind;
  return n;
}

int64_t ModelConfig::CountParameters() const {
  const int64_t d = d_model;
  const int64_t q = int64_t{n_heads} * head_dim;
  const int64_t kv = int64_t{n_kv_heads} * head_dim;
  const int64_t attention = (attention_gate ? 3 : 2) * d * q + 2 * d * kv + (attention_bias ? q + 2 * kv : 0) +
                            (qk_norm ? 2 * int64_t{head_dim} : 0);
  const int64_t values = int64_t{n_linear_value_heads} * linear_value_dim;
  const int64_t delta_net = d * (ConvChannels() + values + 2 * int64_t{n_linear_value_heads}) +
                            conv_width * ConvChannels() + 2 * int64_t{n_linear_value_heads} + linear_value_dim +
                            d * values;
  const int64_t shared = d_ff_shared > 0 ? 3 * d * d_ff_shared + d : 0;
  const int64_t moe = d * n_experts + int64_t{n_experts} * 3 * d * d_ff_expert + shared;
  const int64_t dense = 3 * d * d_ff;
  int64_t total = int64_t{vocab} * d * (tied_embeddings ? 1 : 2) + d;
  for (int layer = 0; layer < n_layers; ++layer) {
    total += 2 * d + (KindOf(layer) == LayerKind::kGatedDeltaNet ? delta_net : attention);
    total += IsMoeLayer(layer) ? moe : dense;
  }
  return total;
}

int64_t ModelConfig::KvBytesPerToken(kernels::KvTypes types) const {
  const kernels::KvLayout layout{.types = types, .n_kv_heads = n_kv_heads, .head_dim = head_dim};
  const auto dim = static_cast<size_t>(layout.padded_dim());
  return CountLayers(LayerKind::kFullAttention) * n_kv_heads *
         static_cast<int64_t>(kernels::KvBytes(types.k, dim) + kernels::KvBytes(types.v, dim));
}

int64_t ModelConfig::StateBytesPerSequence() const {
  return CountLayers(LayerKind::kGatedDeltaNet) * DeltaNetState::FloatsOf(*this) * int64_t{sizeof(float)};
}

Result<ModelConfig> FinishConfig(ModelConfig config) {
  QUERN_TRY(CheckRange("hidden_size", config.d_model, 1, kMaxDModel));
  QUERN_TRY(CheckRange("num_hidden_layers", config.n_layers, 1, kMaxLayers));
  QUERN_TRY(CheckRange("num_attention_heads", config.n_heads, 1, kMaxHeads));
  QUERN_TRY(CheckRange("num_key_value_heads", config.n_kv_heads, 1, config.n_heads));
  if (config.n_heads % config.n_kv_heads != 0) {
    return Error(Code::kInvalidArgument, fmt::format("num_attention_heads {} is no multiple of num_key_value_heads {}",
                                                     config.n_heads, config.n_kv_heads));
  }
  QUERN_TRY(CheckRange("head_dim", config.head_dim, 2, kMaxHeadDim));
  if (config.head_dim % 2 != 0) {
    return Error(Code::kInvalidArgument,
                 fmt::format("head_dim is {}, expected an even number (rotary pairs)", config.head_dim));
  }
  QUERN_TRY(CheckRange("rotary dims", config.RotaryDims(), 2, config.head_dim));
  if (config.n_rotary_dims % 2 != 0) {
    return Error(Code::kInvalidArgument, fmt::format("{} of {} dims are rotated, expected an even number",
                                                     config.n_rotary_dims, config.head_dim));
  }
  if (config.n_rotary_dims == config.head_dim) config.n_rotary_dims = 0;
  QUERN_TRY(CheckDeltaNet(config));
  QUERN_TRY(CheckRange("vocab_size", config.vocab, 1, kMaxVocab));
  QUERN_TRY(CheckRange("max_position_embeddings", config.context_length, 1, kMaxContext));
  if (!(config.norm_eps > 0 && config.norm_eps <= 0.1F)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("rms_norm_eps is {}, expected above 0, up to 0.1", config.norm_eps));
  }
  QUERN_TRY(CheckRope(config));
  if (config.n_experts != 0) QUERN_TRY(CheckMoe(config));
  bool any_dense = false;
  for (int layer = 0; layer < config.n_layers; ++layer) any_dense = any_dense || !config.IsMoeLayer(layer);
  if (any_dense) {
    QUERN_TRY(CheckRange("intermediate_size", config.d_ff, 1, kMaxDFf));
  } else {
    config.d_ff = 0;
  }
  for (const int token : config.eos_tokens) QUERN_TRY(CheckRange("eos_token_id", token, 0, config.vocab - 1));
  if (config.yarn.has_value()) {
    const double covered = config.yarn->original_context * config.yarn->factor;
    config.context_length = std::max(config.context_length, static_cast<int>(std::min<double>(covered, kMaxContext)));
  }
  return config;
}

Result<ModelConfig> WithYarn(ModelConfig config, double factor) {
  const int native = config.NativeContext();
  config.yarn = YarnScaling{.factor = factor, .original_context = native};
  config.context_length = native;
  QUERN_TRY(CheckRope(config));
  if (factor * native > kMaxContext) {
    return Error(Code::kInvalidArgument,
                 fmt::format("YaRN factor {} of {} tokens passes the limit of {}", factor, native, kMaxContext));
  }
  return FinishConfig(std::move(config));
}

Result<GenerationConfig> FinishGenerationConfig(GenerationConfig config) {
  const struct {
    std::string_view name;
    const std::optional<float>& value;
    float min, max;
  } kRows[] = {
      {"temperature", config.temperature, 0, 100},
      {"top_p", config.top_p, 0, 1},
      {"min_p", config.min_p, 0, 1},
      {"repetition_penalty", config.repetition_penalty, 1e-3F, 1e3F},
  };
  for (const auto& row : kRows) {
    if (row.value.has_value() && !(*row.value >= row.min && *row.value <= row.max)) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{} is {}, expected {} to {}", row.name, *row.value, row.min, row.max));
    }
  }
  QUERN_TRY(CheckRange("top_k", config.top_k.value_or(0), 0, kMaxVocab));
  for (const int token : config.eos_tokens) QUERN_TRY(CheckRange("eos_token_id", token, 0, kMaxVocab - 1));
  return config;
}

}  // namespace quern::model
