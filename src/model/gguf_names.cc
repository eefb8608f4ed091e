// GGUF tensor names <-> Hugging Face names.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "model/gguf.h"
#include "model/gguf_export.h"

namespace quern::model {
namespace {

using Row = std::pair<std::string_view, std::string_view>;

constexpr Row kGlobal[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

// After "blk.N." and "model.layers.N.". The stacked experts have no ".weight": UnstackExperts knows them by that.
constexpr Row kBlock[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},  // qwen3next
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"ffn_gate_exps.weight", "mlp.experts.gate_proj"},
    {"ffn_up_exps.weight", "mlp.experts.up_proj"},
    {"ffn_down_exps.weight", "mlp.experts.down_proj"},
    {"ffn_gate_up_exps.weight", "mlp.experts.gate_up_proj"},
    {"ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight"},
    {"ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight"},
    // Linear layers. Three names of our own: the converters take in_proj_qkvz apart and store -exp(A_log).
    {"attn_qkv.weight", "linear_attn.in_proj_qkv.weight"},
    {"attn_gate.weight", "linear_attn.in_proj_z.weight"},
    {"ssm_a", "linear_attn.decay_rate"},
    {"ssm_a", "linear_attn.A_log"},                        // the other way round only: the writer changes the values
    {"ssm_in.weight", "linear_attn.in_proj_qkvz.weight"},  // older files: as published
    {"ssm_ba.weight", "linear_attn.in_proj_ba.weight"},
    {"ssm_conv1d.weight", "linear_attn.conv1d.weight"},
    {"ssm_dt.bias", "linear_attn.dt_bias"},
    {"ssm_norm.weight", "linear_attn.norm.weight"},
    {"ssm_out.weight", "linear_attn.out_proj.weight"},
};

constexpr std::string_view kBlockPrefix = "blk.";

}  // namespace

std::string HuggingFaceName(std::string_view gguf_name) {
  for (const auto& [ours, theirs] : kGlobal) {
    if (gguf_name == ours) return std::string(theirs);
  }
  if (!gguf_name.starts_with(kBlockPrefix)) return std::string(gguf_name);
  const std::string_view rest = gguf_name.substr(kBlockPrefix.size());
  const size_t dot = rest.find('.');
  if (dot == 0 || dot == std::string_view::npos) return std::string(gguf_name);
  const std::string_view number = rest.substr(0, dot);
  // "blk.03" would make a second name for layer 3.
  const bool is_number =
      std::all_of(number.begin(), number.end(), [](unsigned char c) { return std::isdigit(c) != 0; }) &&
      (number.size() == 1 || number.front() != '0');
  if (!is_number) return std::string(gguf_name);
  for (const auto& [ours, theirs] : kBlock) {
    if (rest.substr(dot + 1) == ours) return fmt::format("model.layers.{}.{}", number, theirs);
  }
  return std::string(gguf_name);
}

std::optional<std::string> GgufName(std::string_view name, Architecture architecture) {
  for (const auto& [ours, theirs] : kGlobal) {
    if (name == theirs) return std::string(ours);
  }
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers)) return std::nullopt;
  const std::string_view rest = name.substr(kLayers.size());
  const size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const bool next = architecture == Architecture::kQwen3Next;
  for (const auto& [ours, theirs] : kBlock) {
    if (rest.substr(dot + 1) != theirs) continue;
    if (theirs == "post_attention_layernorm.weight" && next != (ours == "post_attention_norm.weight")) continue;
    return fmt::format("{}{}.{}", kBlockPrefix, rest.substr(0, dot), ours);
  }
  return std::nullopt;
}

}  // namespace quern::model
