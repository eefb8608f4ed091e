// The keys of a GGUF file that says the same as another checkpoint.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "model/gguf_export.h"

namespace quern::model {
namespace {

std::string_view GgufArchitecture(Architecture architecture) {
  switch (architecture) {
    case Architecture::kQwen2:
      return "qwen2";
    case Architecture::kQwen3:
      return "qwen3";
    case Architecture::kQwen3Moe:
      return "qwen3moe";
    case Architecture::kQwen3Next:
      return "qwen3next";
  }
  QUERN_CHECK(false);
}

uint32_t Count(int n) { return static_cast<uint32_t>(n); }

// Sets keys below the architecture's name.
class Keys {
 public:
  Keys(GgufMetadata& out, std::string_view prefix) : out_(out), prefix_(prefix) {}

  template <typename T>
  void Set(std::string_view name, T value) {
    out_.Set(fmt::format("{}.{}", prefix_, name), value);
  }

 private:
  GgufMetadata& out_;
  std::string_view prefix_;
};

void SetAttention(const ModelConfig& c, Keys& keys) {
  keys.Set("attention.head_count", Count(c.n_heads));
  const int interval = c.architecture == Architecture::kQwen3Next ? kDefaultFullAttentionInterval : 0;
  int period = 0;  // of full attention, when the layers follow one
  for (int n = 1; n <= c.n_layers && period == 0; ++n) {
    if (interval > 0 && LayerKindsOf(c.n_layers, n) == c.layer_kinds) period = n;
  }
  if (interval == 0 || period > 0) {
    keys.Set("attention.head_count_kv", Count(c.n_kv_heads));
    if (period > 0) keys.Set("full_attention_interval", Count(period));
  } else {
    std::vector<int32_t> per_layer;  // a layer without keys and values is a recurrent one
    for (int layer = 0; layer < c.n_layers; ++layer) {
      per_layer.push_back(c.KindOf(layer) == LayerKind::kFullAttention ? c.n_kv_heads : 0);
    }
    per_layer.resize(per_layer.size() + static_cast<size_t>(c.n_mtp_layers), c.n_kv_heads);
    keys.Set("attention.head_count_kv", std::span<const int32_t>(per_layer));
  }
  if (c.architecture != Architecture::kQwen2) {
    keys.Set("attention.key_length", Count(c.head_dim));
    keys.Set("attention.value_length", Count(c.head_dim));
  }
  keys.Set("attention.layer_norm_rms_epsilon", c.norm_eps);
}

void SetRope(const ModelConfig& c, Keys& keys) {
  keys.Set("rope.freq_base", static_cast<float>(c.rope_theta));
  if (c.RotaryDims() != c.head_dim || c.architecture == Architecture::kQwen3Next) {
    keys.Set("rope.dimension_count", Count(c.RotaryDims()));
  }
  if (!c.yarn.has_value()) return;
  keys.Set("rope.scaling.type", std::string_view("yarn"));
  keys.Set("rope.scaling.factor", static_cast<float>(c.yarn->factor));
  keys.Set("rope.scaling.original_context_length", Count(c.yarn->original_context));
  keys.Set("rope.scaling.yarn_beta_fast", static_cast<float>(c.yarn->beta_fast));
  keys.Set("rope.scaling.yarn_beta_slow", static_cast<float>(c.yarn->beta_slow));
  if (c.yarn->attention_factor.has_value()) {  // GGUF has it relative to what follows from the factor
    const double usual = 0.1 * std::log(std::max(c.yarn->factor, 1.0)) + 1;
    keys.Set("rope.scaling.attn_factor", static_cast<float>(*c.yarn->attention_factor / usual));
  }
}

void SetMoe(const ModelConfig& c, Keys& keys) {
  if (c.n_experts == 0) return;
  keys.Set("expert_count", Count(c.n_experts));
  keys.Set("expert_used_count", Count(c.n_experts_used));
  keys.Set("expert_feed_forward_length", Count(c.d_ff_expert));
  if (c.d_ff_shared > 0) keys.Set("expert_shared_feed_forward_length", Count(c.d_ff_shared));
  if (!c.norm_topk_prob) keys.Set("norm_top_k_prob", false);
}

void SetDeltaNet(const ModelConfig& c, Keys& keys) {
  if (c.architecture != Architecture::kQwen3Next) return;
  keys.Set("ssm.conv_kernel", Count(c.conv_width));
  keys.Set("ssm.state_size", Count(c.linear_key_dim));
  keys.Set("ssm.group_count", Count(c.n_linear_key_heads));
  keys.Set("ssm.time_step_rank", Count(c.n_linear_value_heads));
  keys.Set("ssm.inner_size", Count(c.n_linear_value_heads * c.linear_value_dim));
}

void SetSampling(const GenerationConfig& g, GgufMetadata& out) {
  if (g.temperature.has_value()) out.Set("general.sampling.temp", *g.temperature);
  if (g.top_k.has_value()) out.Set("general.sampling.top_k", int32_t{*g.top_k});
  if (g.top_p.has_value()) out.Set("general.sampling.top_p", *g.top_p);
  if (g.min_p.has_value()) out.Set("general.sampling.min_p", *g.min_p);
  if (g.repetition_penalty.has_value()) out.Set("general.sampling.penalty_repeat", *g.repetition_penalty);
}

// Keys that name a token, and its spelling in this family.
constexpr std::pair<std::string_view, std::string_view> kNamedTokens[] = {
    {"bos", "<|endoftext|>"},      {"padding", "<|endoftext|>"},  {"eot", "<|im_end|>"},
    {"fim_pre", "<|fim_prefix|>"}, {"fim_suf", "<|fim_suffix|>"}, {"fim_mid", "<|fim_middle|>"},
    {"fim_pad", "<|fim_pad|>"},    {"fim_rep", "<|repo_name|>"},  {"fim_sep", "<|file_sep|>"},
};

std::vector<std::string_view> Views(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

void SetVocabulary(const Checkpoint& checkpoint, const GgufVocabularyKeys& v, GgufMetadata& out) {
  out.Set("tokenizer.ggml.model", "gpt2");
  out.Set("tokenizer.ggml.pre", "qwen2");
  out.Set("tokenizer.ggml.tokens", std::span<const std::string_view>(Views(v.tokens)));
  out.Set("tokenizer.ggml.token_type", std::span<const int32_t>(v.token_types));
  out.Set("tokenizer.ggml.merges", std::span<const std::string_view>(Views(v.merges)));
  for (const auto& [key, text] : kNamedTokens) {
    const auto at = std::ranges::find(v.tokens, text);
    if (at == v.tokens.end()) continue;
    out.Set(fmt::format("tokenizer.ggml.{}_token_id", key), static_cast<uint32_t>(at - v.tokens.begin()));
  }
  std::vector<int32_t> eos;  // the config's own first: GGUF has a key for one only
  for (const auto* ids : {&checkpoint.config().eos_tokens, &checkpoint.generation().eos_tokens}) {
    for (const int id : *ids) {
      const bool known = id >= 0 && static_cast<size_t>(id) < v.tokens.size();
      if (known && std::ranges::find(eos, id) == eos.end()) eos.push_back(id);
    }
  }
  if (!eos.empty()) out.Set("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(eos.front()));
  if (eos.size() > 1) out.Set("tokenizer.ggml.eos_token_ids", std::span<const int32_t>(eos));
  out.Set("tokenizer.ggml.add_bos_token", false);
  if (!v.chat_template.empty()) out.Set("tokenizer.chat_template", v.chat_template);
}

}  // namespace

GgufMetadata MetadataOf(const Checkpoint& checkpoint, const GgufVocabularyKeys* vocabulary) {
  const ModelConfig& c = checkpoint.config();
  GgufMetadata out;
  const std::string_view architecture = GgufArchitecture(c.architecture);
  out.Set("general.architecture", architecture);
  out.Set("general.type", "model");
  std::filesystem::path path = checkpoint.path().lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  out.Set("general.name", path.filename().string());
  SetSampling(checkpoint.generation(), out);

  Keys keys(out, architecture);
  keys.Set("block_count", Count(c.n_layers + c.n_mtp_layers));
  if (c.n_mtp_layers > 0) keys.Set("nextn_predict_layers", Count(c.n_mtp_layers));
  keys.Set("context_length", Count(c.context_length));
  keys.Set("embedding_length", Count(c.d_model));
  if (c.d_ff > 0) keys.Set("feed_forward_length", Count(c.d_ff));
  keys.Set("vocab_size", Count(c.vocab));
  SetAttention(c, keys);
  SetRope(c, keys);
  SetMoe(c, keys);
  SetDeltaNet(c, keys);
  if (vocabulary != nullptr) SetVocabulary(checkpoint, *vocabulary, out);
  return out;
}

GgufMetadata MetadataOf(const GgufFile& file) {
  GgufMetadata out;
  out.Copy(file, "general.architecture");
  for (const std::string_view key : file.Keys()) {
    // The alignment is the writer's own.
    if (key.starts_with("split.") || key == "general.alignment" || key == "general.architecture") continue;
    out.Copy(file, key);
  }
  return out;
}

}  // namespace quern::model
