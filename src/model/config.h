// What a checkpoint says about itself: numbers, comparable and printable. Axis names used in shape comments everywhere:
//   d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ff, n_experts, n_experts_used, d_ff_expert, vocab (rows of the
//   embedding, padding included).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/kv_layout.h"

namespace quern::model {

enum class Architecture { kQwen2, kQwen3, kQwen3Moe, kQwen3Next };

// "qwen2", "qwen3", "qwen3_moe", "qwen3_next".
std::string_view ArchitectureName(Architecture architecture);

// A layer's token mixer; code that walks layers must switch on this. kGatedDeltaNet is recurrent: instead of keys and
// values per token it has one state per sequence.
enum class LayerKind { kFullAttention, kGatedDeltaNet };

// Static YaRN scaling of the rotary embedding (docs: spec of the published configurations).
struct YarnScaling {
  double factor;
  int original_context;
  double beta_fast = 32;
  double beta_slow = 1;
  std::optional<double> attention_factor;  // default 0.1 ln(factor) + 1

  bool operator==(const YarnScaling&) const = default;
};

struct ModelConfig {
  Architecture architecture = Architecture::kQwen3Moe;
  int d_model = 0;
  int n_layers = 0;
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int d_ff = 0;  // dense feed-forward width; 0 when every layer is MoE
  int vocab = 0;
  int context_length = 0;  // max_position_embeddings; under YaRN at least original_context * factor
  float norm_eps = 1e-6F;
  double rope_theta = 1e6;
  std::optional<YarnScaling> yarn;
  bool tied_embeddings = false;
  bool attention_bias = false;  // q, k, v biases (qwen2)
  bool qk_norm = false;         // per-head RMSNorm before RoPE (all but qwen2)
  bool attention_gate = false;  // attention's output is multiplied by sigmoid(gate), rows of q_proj (qwen3_next)
  int n_rotary_dims = 0;        // of head_dim, the first so many are rotated; 0: all
  // Mixture of experts; n_experts == 0 means dense everywhere.
  int n_experts = 0;
  int n_experts_used = 0;
  int d_ff_expert = 0;
  int d_ff_shared = 0;  // width of the expert that every token takes besides its own; 0: there is none
  bool norm_topk_prob = true;
  int decoder_sparse_step = 1;
  std::vector<int> mlp_only_layers;
  // Gated DeltaNet layers (qwen3_next); 0 without.
  std::vector<LayerKind> layer_kinds;  // [n_layers]; empty: all kFullAttention
  int n_linear_key_heads = 0;
  int n_linear_value_heads = 0;  // a multiple: value head h reads key head h / (value heads / key heads)
  int linear_key_dim = 0;
  int linear_value_dim = 0;
  int conv_width = 0;
  int n_mtp_layers = 0;  // 1 with a multi-token prediction head (qwen3_next); set when the tensors are known

  std::vector<int> eos_tokens;  // config.json's own; generation_config adds to them

  // Tokens that the model was trained for, without YaRN.
  int NativeContext() const { return yarn.has_value() ? yarn->original_context : context_length; }
  bool IsMoeLayer(int layer) const;
  LayerKind KindOf(int layer) const;
  int CountLayers(LayerKind kind) const;
  int RotaryDims() const { return n_rotary_dims > 0 ? n_rotary_dims : head_dim; }
  // Channels of the convolution of a DeltaNet layer: queries and keys of all key heads, values of all value heads.
  int64_t ConvChannels() const {
    return 2 * int64_t{n_linear_key_heads} * linear_key_dim + int64_t{n_linear_value_heads} * linear_value_dim;
  }
  int64_t CountParameters() const;  // without the multi-token prediction blocks
  // Bytes of keys and values per token over all attention layers, stored as types.
  int64_t KvBytesPerToken(kernels::KvTypes types) const;
  // Bytes of recurrent state per sequence, whatever its length (delta_net_state.h); 0 without recurrent layers.
  int64_t StateBytesPerSequence() const;

  bool operator==(const ModelConfig&) const = default;
};

// Sampling defaults and stop ids of generation_config.json (or of GGUF general.sampling.*). An explicit do_sample false
// reads as temperature 0. Absent values are the server's to choose.
struct GenerationConfig {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::vector<int> eos_tokens;

  bool operator==(const GenerationConfig&) const = default;
};

// Limits of the numbers above, also in docs/limits.md: far above every published model, low enough that no product of
// a few of them overflows 64 bits.
inline constexpr int kMaxDModel = 1 << 16;
inline constexpr int kMaxLayers = 1024;
inline constexpr int kMaxHeads = 1024;
inline constexpr int kMaxHeadDim = 1024;
inline constexpr int kMaxDFf = 1 << 20;
inline constexpr int kMaxVocab = 1 << 22;
inline constexpr int kMaxContext = 1 << 24;
inline constexpr int kMaxExperts = 4096;
inline constexpr int kMaxEosTokens = 64;
inline constexpr int kMaxConvWidth = 16;  // and the kernels' own limit

// Layer kinds of a qwen3_next that names no single layer: every interval-th is full attention. interval 0: none is.
inline constexpr int kDefaultFullAttentionInterval = 4;
std::vector<LayerKind> LayerKindsOf(int n_layers, int interval);

// What every parser ends with: checks that the numbers fit together and into the limits, sets d_ff to 0 when no layer
// uses it, and raises context_length to what YaRN covers. Errors: kInvalidArgument, naming the config.json key.
Result<ModelConfig> FinishConfig(ModelConfig config);
Result<GenerationConfig> FinishGenerationConfig(GenerationConfig config);

// The same model with YaRN of this factor over its native context, in place of what the checkpoint says. Errors:
// kInvalidArgument (factor out of range, or a context beyond kMaxContext).
Result<ModelConfig> WithYarn(ModelConfig config, double factor);

// From the text of config.json. Errors: kCorrupt (not JSON, wrong types: the message names the key), kUnsupported
// (another architecture, rope scaling or quantisation: named), kInvalidArgument (values that contradict each other or
// pass the limits of docs/limits.md).
Result<ModelConfig> ParseConfig(std::string_view json);
Result<GenerationConfig> ParseGenerationConfig(std::string_view json);

}  // namespace quern::model
