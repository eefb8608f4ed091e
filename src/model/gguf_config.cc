// GGUF metadata -> the numbers of a model, sampling defaults, the tokenizer's tables.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "model/gguf.h"

namespace quern::model {
namespace {

std::string_view Shown(std::string_view name) { return name.substr(0, 200); }

std::unexpected<Status> Fail(const GgufFile& file, Code code, std::string_view text) {
  return Error(code, fmt::format("{}: {}", file.file_name(), text));
}

Result<int> NonNegativeInt(const GgufFile& file, std::string_view key) {
  QUERN_ASSIGN(const int64_t value, file.Integer(key));
  if (value < 0 || value > std::numeric_limits<int>::max()) {
    return Fail(file, Code::kCorrupt, fmt::format("key \"{}\": expected 0 to 2147483647, got {}", key, value));
  }
  return static_cast<int>(value);
}

Result<int> IntOr(const GgufFile& file, std::string_view key, int otherwise) {
  if (!file.Has(key)) return otherwise;
  return NonNegativeInt(file, key);
}

// The keys of one architecture: "qwen3moe." in front of each.
class ArchitectureKeys {
 public:
  ArchitectureKeys(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  std::string Key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }
  bool Has(std::string_view name) const { return file_.Has(Key(name)); }
  Result<int> Int(std::string_view name) const { return NonNegativeInt(file_, Key(name)); }
  Result<int> IntOr(std::string_view name, int otherwise) const { return model::IntOr(file_, Key(name), otherwise); }
  Result<double> Number(std::string_view name) const { return file_.Number(Key(name)); }

  // One integer, or an array (one per layer) of equal ones. zeros_are_absent: zeros in an array are layers without.
  Result<int> SameInEveryLayer(std::string_view name, bool zeros_are_absent = false) const {
    const std::string key = Key(name);
    QUERN_ASSIGN(auto values, file_.Integers(key));
    if (zeros_are_absent && values.size() > 1) std::erase(values, 0);
    if (values.empty()) return Fail(file_, Code::kCorrupt, fmt::format("key \"{}\": an empty array", key));
    for (const int64_t value : values) {
      if (value != values.front()) {
        return Fail(file_, Code::kUnsupported,
                    fmt::format("key \"{}\": {} in one layer and {} in another", key, values.front(), value));
      }
    }
    if (values.front() < 0 || values.front() > std::numeric_limits<int>::max()) {
      return Fail(file_, Code::kCorrupt,
                  fmt::format("key \"{}\": expected 0 to 2147483647, got {}", key, values.front()));
    }
    return static_cast<int>(values.front());
  }

  const GgufFile& file() const { return file_; }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

Result<Architecture> ReadArchitecture(const GgufFile& file, std::string_view name) {
  if (name == "qwen2") return Architecture::kQwen2;
  if (name == "qwen3") return Architecture::kQwen3;
  if (name == "qwen3moe") return Architecture::kQwen3Moe;
  if (name == "qwen3next") return Architecture::kQwen3Next;
  return Fail(
      file, Code::kUnsupported,
      fmt::format("general.architecture \"{}\" is not supported: this build runs qwen2, qwen3, qwen3moe and qwen3next",
                  Shown(name)));
}

Result<void> ReadHeads(const ArchitectureKeys& keys, ModelConfig& config) {
  QUERN_ASSIGN(config.n_heads, keys.SameInEveryLayer("attention.head_count"));
  config.n_kv_heads = config.n_heads;
  if (keys.Has("attention.head_count_kv")) {
    const bool recurrent = config.architecture == Architecture::kQwen3Next;
    QUERN_ASSIGN(config.n_kv_heads, keys.SameInEveryLayer("attention.head_count_kv", recurrent));
  }
  if (keys.Has("attention.key_length")) {
    QUERN_ASSIGN(config.head_dim, keys.Int("attention.key_length"));
    QUERN_ASSIGN(const int value_length, keys.IntOr("attention.value_length", config.head_dim));
    if (value_length != config.head_dim) {
      return Fail(
          keys.file(), Code::kUnsupported,
          fmt::format("{} is {} and {} is {}: different lengths are not supported", keys.Key("attention.key_length"),
                      config.head_dim, keys.Key("attention.value_length"), value_length));
    }
  } else if (config.n_heads > 0 && config.d_model % config.n_heads == 0) {
    config.head_dim = config.d_model / config.n_heads;
  } else {
    return Fail(keys.file(), Code::kInvalidArgument,
                fmt::format("{} {} is no multiple of {} {}", keys.Key("embedding_length"), config.d_model,
                            keys.Key("attention.head_count"), config.n_heads));
  }
  QUERN_ASSIGN(const int rotary, keys.IntOr("rope.dimension_count", config.head_dim));
  if (config.architecture == Architecture::kQwen3Next) {
    config.n_rotary_dims = std::max(rotary, 1);  // 0 would read as "all"; 1 is refused
  } else if (rotary != config.head_dim) {
    return Fail(keys.file(), Code::kUnsupported,
                fmt::format("{} is {} and the head has {} dims: partial rotation is not "
                            "supported",
                            keys.Key("rope.dimension_count"), rotary, config.head_dim));
  }
  return {};
}

// attn_factor multiplies the factor that follows from the length (0.1 ln s + 1); ours is the product.
Result<void> ReadYarn(const ArchitectureKeys& keys, ModelConfig& config) {
  QUERN_ASSIGN(const auto type, keys.file().StringOrNone(keys.Key("rope.scaling.type")));
  if (!type.has_value() || *type == "none") return {};
  if (*type != "yarn") {
    return Fail(keys.file(), Code::kUnsupported,
                fmt::format("{} \"{}\" is not supported: this build knows \"none\" and "
                            "\"yarn\"",
                            keys.Key("rope.scaling.type"), Shown(*type)));
  }
  YarnScaling yarn{};
  QUERN_ASSIGN(yarn.factor, keys.Number("rope.scaling.factor"));
  QUERN_ASSIGN(yarn.original_context, keys.IntOr("rope.scaling.original_context_length", config.context_length));
  for (const auto& [name, target] : {std::pair("rope.scaling.yarn_beta_fast", &yarn.beta_fast),
                                     std::pair("rope.scaling.yarn_beta_slow", &yarn.beta_slow)}) {
    if (!keys.Has(name)) continue;
    QUERN_ASSIGN(*target, keys.Number(name));
  }
  if (keys.Has("rope.scaling.yarn_ext_factor")) {
    QUERN_ASSIGN(const double extrapolation, keys.Number("rope.scaling.yarn_ext_factor"));
    if (extrapolation != 1 && extrapolation != -1) {  // -1 stands for "as the type says"
      return Fail(keys.file(), Code::kUnsupported,
                  fmt::format("{} {} is not supported", keys.Key("rope.scaling.yarn_ext_factor"), extrapolation));
    }
  }
  double attention = 1;
  for (const char* name : {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"}) {
    if (!keys.Has(name)) continue;
    QUERN_ASSIGN(const double factor, keys.Number(name));
    attention *= factor;
  }
  if (attention != 1) yarn.attention_factor = attention * (0.1 * std::log(std::max(yarn.factor, 1.0)) + 1);
  config.yarn = yarn;
  return {};
}

Result<void> ReadMoe(const ArchitectureKeys& keys, ModelConfig& config) {
  QUERN_ASSIGN(config.n_experts, keys.Int("expert_count"));
  QUERN_ASSIGN(config.n_experts_used, keys.Int("expert_used_count"));
  QUERN_ASSIGN(config.d_ff_expert, keys.Int("expert_feed_forward_length"));
  QUERN_ASSIGN(const int shared, keys.IntOr("expert_shared_feed_forward_length", 0));
  if (config.architecture == Architecture::kQwen3Next) {
    config.d_ff_shared = shared;
  } else if (shared != 0) {
    return Fail(keys.file(), Code::kUnsupported,
                fmt::format("{} is {}: a shared expert is not supported", keys.Key("expert_shared_feed_forward_length"),
                            shared));
  }
  // Usual converters do not store it and every published model has it on.
  QUERN_ASSIGN(const auto norm, keys.file().BoolOrNone(keys.Key("norm_top_k_prob")));
  config.norm_topk_prob = norm.value_or(true);
  return {};
}

// One entry for each block, multi-token prediction blocks at the end included; of the others the kinds.
Result<std::vector<LayerKind>> KindsOfBlocks(const ArchitectureKeys& keys, std::string_view name,
                                             const std::vector<bool>& recurrent, const ModelConfig& config) {
  const int n_blocks = config.n_layers + config.n_mtp_layers;
  if (recurrent.size() != static_cast<size_t>(n_blocks)) {
    return Fail(keys.file(), Code::kInvalidArgument,
                fmt::format("key \"{}\" has {} entries for {} blocks", keys.Key(name), recurrent.size(), n_blocks));
  }
  std::vector<LayerKind> kinds;
  for (int layer = 0; layer < config.n_layers; ++layer) {
    kinds.push_back(recurrent[static_cast<size_t>(layer)] ? LayerKind::kGatedDeltaNet : LayerKind::kFullAttention);
  }
  return kinds;
}

// Which layers are recurrent: those that recurrent_layers names, or where head_count_kv is a list those of its zeros
// (Ollama); without either all but every interval-th.
Result<void> ReadLayerKinds(const ArchitectureKeys& keys, ModelConfig& config) {
  constexpr std::string_view kListed = "attention.recurrent_layers", kHeads = "attention.head_count_kv";
  QUERN_ASSIGN(const int interval, keys.IntOr("full_attention_interval", kDefaultFullAttentionInterval));
  config.layer_kinds = LayerKindsOf(config.n_layers, interval);
  const bool is_listed = keys.Has(kListed);
  if (is_listed) {
    QUERN_ASSIGN(const auto recurrent, keys.file().Flags(keys.Key(kListed)));
    QUERN_ASSIGN(config.layer_kinds, KindsOfBlocks(keys, kListed, recurrent, config));
  }
  if (!keys.Has(kHeads)) return {};
  QUERN_ASSIGN(const auto heads, keys.file().Integers(keys.Key(kHeads)));
  std::vector<bool> without;
  for (const int64_t n : heads) without.push_back(n == 0);
  if (std::find(without.begin(), without.end(), true) == without.end()) return {};
  QUERN_ASSIGN(const auto kinds, KindsOfBlocks(keys, kHeads, without, config));
  if (is_listed && kinds != config.layer_kinds) {
    return Fail(keys.file(), Code::kInvalidArgument,
                fmt::format("keys \"{}\" and \"{}\" disagree about which layers are recurrent", keys.Key(kListed),
                            keys.Key(kHeads)));
  }
  config.layer_kinds = kinds;
  return {};
}

Result<void> ReadDeltaNet(const ArchitectureKeys& keys, ModelConfig& config) {
  QUERN_TRY(ReadLayerKinds(keys, config));
  QUERN_ASSIGN(config.conv_width, keys.Int("ssm.conv_kernel"));
  QUERN_ASSIGN(config.linear_key_dim, keys.Int("ssm.state_size"));
  QUERN_ASSIGN(config.n_linear_key_heads, keys.Int("ssm.group_count"));
  QUERN_ASSIGN(config.n_linear_value_heads, keys.Int("ssm.time_step_rank"));
  QUERN_ASSIGN(const int inner, keys.Int("ssm.inner_size"));
  if (config.n_linear_value_heads < 1 || inner % config.n_linear_value_heads != 0) {
    return Fail(keys.file(), Code::kInvalidArgument,
                fmt::format("{} {} is no multiple of {} {}", keys.Key("ssm.inner_size"), inner,
                            keys.Key("ssm.time_step_rank"), config.n_linear_value_heads));
  }
  config.linear_value_dim = inner / config.n_linear_value_heads;
  return {};
}

// Rows of the embedding; a key that says otherwise is a contradiction.
Result<int> ReadVocab(const ArchitectureKeys& keys, std::span<const StoredTensor> tensors) {
  const auto embedding = std::find_if(tensors.begin(), tensors.end(),
                                      [](const StoredTensor& tensor) { return tensor.name == "token_embd.weight"; });
  if (embedding == tensors.end() || embedding->shape.size() != 2) {
    return Fail(keys.file(), Code::kCorrupt,
                embedding == tensors.end() ? std::string("tensor \"token_embd.weight\" is missing")
                                           : fmt::format("tensor \"token_embd.weight\": expected two dims, got {}",
                                                         ShapeText(embedding->shape)));
  }
  const int64_t rows = embedding->shape[0];
  if (rows < 1 || rows > kMaxVocab) {
    return Fail(keys.file(), Code::kInvalidArgument,
                fmt::format("tensor \"token_embd.weight\" has {} rows, expected 1 to {}", rows, kMaxVocab));
  }
  QUERN_ASSIGN(const int stated, keys.IntOr("vocab_size", static_cast<int>(rows)));
  if (stated != rows) {
    return Fail(keys.file(), Code::kInvalidArgument,
                fmt::format("{} is {} but \"token_embd.weight\" has {} rows", keys.Key("vocab_size"), stated, rows));
  }
  return static_cast<int>(rows);
}

Result<std::optional<int32_t>> TokenId(const GgufFile& file, std::string_view name) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
  if (!file.Has(key)) return std::nullopt;
  QUERN_ASSIGN(const int64_t raw, file.Integer(key));
  // Some converters write -1, as i32 or u32, for "no such token".
  if (raw == -1 || raw == std::numeric_limits<uint32_t>::max()) return std::nullopt;
  QUERN_ASSIGN(const int id, NonNegativeInt(file, key));
  return id;
}

Result<std::vector<int>> EosIds(const GgufFile& file, std::span<const std::string_view> names) {
  std::vector<int> out;
  const auto add = [&](int id) {
    if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  };
  for (const std::string_view name : names) {
    QUERN_ASSIGN(const auto id, TokenId(file, name));
    if (id.has_value()) add(*id);
  }
  constexpr std::string_view kList = "tokenizer.ggml.eos_token_ids";
  if (!file.Has(kList)) return out;
  QUERN_ASSIGN(const auto ids, file.Integers(kList));
  if (ids.size() > kMaxEosTokens) {
    return Fail(file, Code::kExhausted,
                fmt::format("key \"{}\": {} ids, more than the limit of {}", kList, ids.size(), kMaxEosTokens));
  }
  for (const int64_t id : ids) {
    if (id < 0 || id >= kMaxVocab) {
      return Fail(file, Code::kCorrupt, fmt::format("key \"{}\": expected 0 to {}, got {}", kList, kMaxVocab - 1, id));
    }
    add(static_cast<int>(id));
  }
  return out;
}

Result<void> CheckTokenIds(const GgufFile& file, const GgufTokenizer& tokenizer) {
  const auto n_tokens = static_cast<int64_t>(tokenizer.tokens.size());
  const std::pair<std::string_view, const std::optional<int32_t>&> kIds[] = {
      {"bos", tokenizer.bos},
      {"eos", tokenizer.eos},
      {"eot", tokenizer.eot},
      {"padding", tokenizer.padding},
      {"fim_pre", tokenizer.fim_prefix},
      {"fim_suf", tokenizer.fim_suffix},
      {"fim_mid", tokenizer.fim_middle},
      {"fim_pad", tokenizer.fim_pad},
      {"fim_rep", tokenizer.fim_repo},
      {"fim_sep", tokenizer.fim_separator},
  };
  for (const auto& [name, id] : kIds) {
    if (id.has_value() && *id >= n_tokens) {
      return Fail(
          file, Code::kCorrupt,
          fmt::format("key \"tokenizer.ggml.{}_token_id\" is {}, the tokenizer has {} tokens", name, *id, n_tokens));
    }
  }
  for (const int32_t id : tokenizer.eos_ids) {
    if (id >= n_tokens) {
      return Fail(
          file, Code::kCorrupt,
          fmt::format("key \"tokenizer.ggml.eos_token_ids\" has {}, the tokenizer has {} tokens", id, n_tokens));
    }
  }
  return {};
}

Result<void> ReadTokenIds(const GgufFile& file, GgufTokenizer& out) {
  QUERN_ASSIGN(out.bos, TokenId(file, "bos"));
  QUERN_ASSIGN(out.eos, TokenId(file, "eos"));
  QUERN_ASSIGN(out.eot, TokenId(file, "eot"));
  QUERN_ASSIGN(out.padding, TokenId(file, "padding"));
  QUERN_ASSIGN(out.fim_prefix, TokenId(file, "fim_pre"));
  QUERN_ASSIGN(out.fim_suffix, TokenId(file, "fim_suf"));
  QUERN_ASSIGN(out.fim_middle, TokenId(file, "fim_mid"));
  QUERN_ASSIGN(out.fim_pad, TokenId(file, "fim_pad"));
  QUERN_ASSIGN(out.fim_repo, TokenId(file, "fim_rep"));
  QUERN_ASSIGN(out.fim_separator, TokenId(file, "fim_sep"));
  QUERN_ASSIGN(const auto eos_ids, EosIds(file, {}));
  out.eos_ids.assign(eos_ids.begin(), eos_ids.end());
  return CheckTokenIds(file, out);
}

Result<void> ReadChatTemplates(const GgufFile& file, GgufTokenizer& out) {
  QUERN_ASSIGN(const auto chat_template, file.StringOrNone("tokenizer.chat_template"));
  out.chat_template = chat_template.value_or("");
  if (!file.Has("tokenizer.chat_templates")) return {};
  QUERN_ASSIGN(const auto names, file.Strings("tokenizer.chat_templates"));
  for (const std::string_view name : names) {
    if (name.size() > 64) {
      return Fail(file, Code::kExhausted,
                  fmt::format("key \"tokenizer.chat_templates\": a name of {} bytes, more than the "
                              "limit of 64",
                              name.size()));
    }
    QUERN_ASSIGN(const auto text, file.String(fmt::format("tokenizer.chat_template.{}", name)));
    out.chat_templates.emplace(name, text);
  }
  return {};
}

}  // namespace

Result<ModelConfig> ReadGgufConfig(const GgufFile& file, std::span<const StoredTensor> all_tensors) {
  QUERN_ASSIGN(const std::string_view name, file.String("general.architecture"));
  QUERN_ASSIGN(const auto type, file.StringOrNone("general.type"));
  if (type.has_value() && *type != "model") {
    return Fail(file, Code::kUnsupported, fmt::format("general.type \"{}\" is not \"model\"", Shown(*type)));
  }
  ModelConfig config;
  QUERN_ASSIGN(config.architecture, ReadArchitecture(file, name));
  const ArchitectureKeys keys(file, name);
  config.attention_bias = config.architecture == Architecture::kQwen2;
  config.qk_norm = config.architecture != Architecture::kQwen2;
  config.attention_gate = config.architecture == Architecture::kQwen3Next;
  QUERN_ASSIGN(config.n_layers, keys.Int("block_count"));
  QUERN_ASSIGN(const int mtp_layers, keys.IntOr("nextn_predict_layers", 0));
  if (config.architecture == Architecture::kQwen3Next && mtp_layers < config.n_layers) {
    config.n_layers -= mtp_layers;  // block_count counts them
    config.n_mtp_layers = mtp_layers;
  } else if (mtp_layers != 0) {
    return Fail(file, Code::kUnsupported,
                fmt::format("{} {} is not supported for {}", keys.Key("nextn_predict_layers"), mtp_layers, name));
  }
  QUERN_ASSIGN(config.context_length, keys.Int("context_length"));
  QUERN_ASSIGN(config.d_model, keys.Int("embedding_length"));
  QUERN_ASSIGN(config.d_ff, keys.IntOr("feed_forward_length", 0));
  QUERN_TRY(ReadHeads(keys, config));
  QUERN_ASSIGN(const double eps, keys.Number("attention.layer_norm_rms_epsilon"));
  config.norm_eps = static_cast<float>(eps);
  QUERN_ASSIGN(config.rope_theta, keys.Number("rope.freq_base"));
  QUERN_TRY(ReadYarn(keys, config));
  if (config.architecture == Architecture::kQwen3Moe || config.architecture == Architecture::kQwen3Next) {
    QUERN_TRY(ReadMoe(keys, config));
  }
  if (config.architecture == Architecture::kQwen3Next) QUERN_TRY(ReadDeltaNet(keys, config));
  QUERN_ASSIGN(config.vocab, ReadVocab(keys, all_tensors));
  config.tied_embeddings = std::none_of(all_tensors.begin(), all_tensors.end(),
                                        [](const StoredTensor& tensor) { return tensor.name == "output.weight"; });
  const std::string_view eos[] = {"eos"};
  QUERN_ASSIGN(config.eos_tokens, EosIds(file, eos));
  auto finished = FinishConfig(std::move(config));
  if (!finished.has_value()) return std::unexpected(finished.error().WithContext(file.file_name()));
  return finished;
}

Result<GenerationConfig> ReadGgufGeneration(const GgufFile& file) {
  GenerationConfig out;
  const std::pair<const char*, std::optional<float>*> kNumbers[] = {
      {"general.sampling.temp", &out.temperature},
      {"general.sampling.top_p", &out.top_p},
      {"general.sampling.min_p", &out.min_p},
      {"general.sampling.penalty_repeat", &out.repetition_penalty},
  };
  for (const auto& [key, target] : kNumbers) {
    QUERN_ASSIGN(const auto number, file.NumberOrNone(key));
    if (number.has_value()) *target = static_cast<float>(*number);
  }
  if (file.Has("general.sampling.top_k")) {
    QUERN_ASSIGN(out.top_k, NonNegativeInt(file, "general.sampling.top_k"));
  }
  const std::string_view eos[] = {"eos", "eot"};
  QUERN_ASSIGN(out.eos_tokens, EosIds(file, eos));
  auto finished = FinishGenerationConfig(std::move(out));
  if (!finished.has_value()) return std::unexpected(finished.error().WithContext(file.file_name()));
  return finished;
}

Result<GgufTokenizer> ReadGgufTokenizer(const GgufFile& file) {
  GgufTokenizer out;
  QUERN_ASSIGN(out.model, file.String("tokenizer.ggml.model"));
  if (out.model != "gpt2") {
    return Fail(file, Code::kUnsupported,
                fmt::format("tokenizer.ggml.model \"{}\" is not supported: this build knows \"gpt2\" (byte-level BPE)",
                            Shown(out.model)));
  }
  QUERN_ASSIGN(const auto pre, file.StringOrNone("tokenizer.ggml.pre"));
  out.pre = pre.value_or("");
  QUERN_ASSIGN(out.tokens, file.Strings("tokenizer.ggml.tokens"));
  if (out.tokens.empty() || out.tokens.size() > static_cast<size_t>(kMaxVocab)) {
    return Fail(
        file, Code::kInvalidArgument,
        fmt::format("key \"tokenizer.ggml.tokens\": {} tokens, expected 1 to {}", out.tokens.size(), kMaxVocab));
  }
  QUERN_ASSIGN(const auto types, file.Integers("tokenizer.ggml.token_type"));
  if (types.size() != out.tokens.size()) {
    return Fail(
        file, Code::kCorrupt,
        fmt::format("key \"tokenizer.ggml.token_type\" has {} entries for {} tokens", types.size(), out.tokens.size()));
  }
  out.token_types.reserve(types.size());
  for (const int64_t type : types) {
    if (type < 0 || type > 6) {
      return Fail(file, Code::kCorrupt,
                  fmt::format("key \"tokenizer.ggml.token_type\": expected 0 to 6, got {}", type));
    }
    out.token_types.push_back(static_cast<int32_t>(type));
  }
  QUERN_ASSIGN(out.merges, file.Strings("tokenizer.ggml.merges"));
  QUERN_TRY(ReadTokenIds(file, out));
  QUERN_ASSIGN(const auto add_bos, file.BoolOrNone("tokenizer.ggml.add_bos_token"));
  QUERN_ASSIGN(const auto add_eos, file.BoolOrNone("tokenizer.ggml.add_eos_token"));
  out.add_bos = add_bos.value_or(false);
  out.add_eos = add_eos.value_or(false);
  QUERN_TRY(ReadChatTemplates(file, out));
  return out;
}

}  // namespace quern::model
