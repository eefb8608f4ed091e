// The tensors of a gated DeltaNet layer, in the published form and in those of GGUF converters.
#include <fmt/core.h>

#include <array>
#include <cmath>

#include "model/weights.h"

namespace quern::model {
namespace {

constexpr std::string_view kClass = "linear";

// [channels, width] as stored -> [width, channels], so that neighbouring channels are computed together.
std::vector<float> Transposed(const std::vector<float>& stored, int64_t channels, int64_t width) {
  std::vector<float> out(stored.size());
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < width; ++i) {
      out[static_cast<size_t>(i * channels + c)] = stored[static_cast<size_t>(c * width + i)];
    }
  }
  return out;
}

}  // namespace

Result<std::vector<float>> WeightLoader::ConvOf(const std::string& name) {
  const int64_t channels = config().ConvChannels();
  const int64_t width = config().conv_width;
  const StoredTensor* stored = checkpoint_.Find(name);
  // [channels, 1, width] as published, squeezed in GGUF.
  const std::array<int64_t, 3> published{channels, 1, width};
  const std::array<int64_t, 2> squeezed{channels, width};
  const bool is_squeezed = stored != nullptr && stored->shape.size() == 2;
  QUERN_ASSIGN(
      const StoredTensor* tensor,
      Take(name, is_squeezed ? std::span<const int64_t>(squeezed) : std::span<const int64_t>(published), kClass));
  QUERN_ASSIGN(const std::vector<float> values, ReadF32(*tensor));
  n_bytes_ += values.size() * sizeof(float);
  return Transposed(values, channels, width);
}

// GGUF holds -exp(A_log) under a name of its own.
Result<std::vector<float>> WeightLoader::DecayRateOf(const std::string& prefix) {
  const int64_t n = config().n_linear_value_heads;
  if (checkpoint_.format() == CheckpointFormat::kGguf) return VectorOf(prefix + "decay_rate", n, kClass);
  QUERN_ASSIGN(std::vector<float> rate, VectorOf(prefix + "A_log", n, kClass));
  for (float& v : rate) v = -std::exp(v);
  return rate;
}

Result<LayerWeights> WeightLoader::DeltaNetLayer(const std::string& prefix) {
  const ModelConfig& c = config();
  const int64_t channels = c.ConvChannels();
  const int64_t values = int64_t{c.n_linear_value_heads} * c.linear_value_dim;
  LayerWeights layer;
  layer.kind = LayerKind::kGatedDeltaNet;
  QUERN_ASSIGN(layer.mixer_norm, NormOf(prefix + "input_layernorm.weight", c.d_model));
  DeltaNetWeights& w = layer.delta_net;
  const std::string p = prefix + "linear_attn.";
  if (checkpoint_.Find(p + "in_proj_qkv.weight") != nullptr) {
    QUERN_ASSIGN(w.qkv, MatrixOf(p + "in_proj_qkv.weight", channels, c.d_model, kClass));
    QUERN_ASSIGN(w.z, MatrixOf(p + "in_proj_z.weight", values, c.d_model, kClass));
  } else {
    QUERN_ASSIGN(w.qkvz, MatrixOf(p + "in_proj_qkvz.weight", channels + values, c.d_model, kClass));
  }
  QUERN_ASSIGN(w.ba, MatrixOf(p + "in_proj_ba.weight", 2 * int64_t{c.n_linear_value_heads}, c.d_model, kClass));
  QUERN_ASSIGN(w.conv, ConvOf(p + "conv1d.weight"));
  QUERN_ASSIGN(w.decay_rate, DecayRateOf(p));
  QUERN_ASSIGN(w.dt_bias, VectorOf(p + "dt_bias", c.n_linear_value_heads, kClass));
  QUERN_ASSIGN(w.norm, VectorOf(p + "norm.weight", c.linear_value_dim, "norms"));  // never centred on zero
  QUERN_ASSIGN(w.out, MatrixOf(p + "out_proj.weight", c.d_model, values, kClass));
  QUERN_ASSIGN(layer.ffn_norm, NormOf(prefix + "post_attention_layernorm.weight", c.d_model));
  return layer;
}

}  // namespace quern::model
