// config.json and generation_config.json -> numbers.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>
#include <utility>

#include "base/json.h"
#include "model/config.h"
#include "model/f8_scales.h"

namespace quern::model {
namespace {

namespace json = boost::json;

constexpr JsonLimits kLimits{.max_bytes = size_t{4} << 20, .max_depth = 16, .max_values = size_t{1} << 18};

std::string_view View(const json::string& text) { return {text.data(), text.size()}; }
std::string_view Shown(std::string_view text) { return text.substr(0, 200); }

// The members of one object, read by name and type. A key that is absent or null is absent.
class Fields {
 public:
  // path: "" or "rope_scaling." for messages.
  Fields(const json::object& object, std::string path) : object_(object), path_(std::move(path)) {}

  const json::value* Find(std::string_view key) const {
    const json::value* value = object_.if_contains(json::string_view(key.data(), key.size()));
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  std::string Path(std::string_view key) const { return fmt::format("key {}{}", path_, key); }

  std::unexpected<Status> Wrong(std::string_view key, std::string_view expected) const {
    const json::value* value = Find(key);
    if (value == nullptr) return Error(Code::kCorrupt, fmt::format("{} is missing: expected {}", Path(key), expected));
    const std::string got = value->is_primitive() ? json::serialize(*value) : std::string(JsonKindName(*value));
    return Error(Code::kCorrupt, fmt::format("{}: expected {}, got {}", Path(key), expected, Shown(got)));
  }

  Result<int> Int(std::string_view key) const {
    const json::value* value = Find(key);
    if (value == nullptr || !value->is_int64() || value->get_int64() < 0 ||
        value->get_int64() > std::numeric_limits<int>::max()) {
      return Wrong(key, "an integer from 0 to 2147483647");
    }
    return static_cast<int>(value->get_int64());
  }
  Result<int> IntOr(std::string_view key, int otherwise) const { return Find(key) == nullptr ? otherwise : Int(key); }

  Result<double> Number(std::string_view key) const {
    const json::value* value = Find(key);
    double number = std::numeric_limits<double>::quiet_NaN();
    if (value != nullptr && value->is_double()) number = value->get_double();
    if (value != nullptr && value->is_int64()) number = static_cast<double>(value->get_int64());
    if (value != nullptr && value->is_uint64()) number = static_cast<double>(value->get_uint64());
    if (!std::isfinite(number)) return Wrong(key, "a finite number");
    return number;
  }

  Result<bool> BoolOr(std::string_view key, bool otherwise) const {
    const json::value* value = Find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_bool()) return Wrong(key, "true or false");
    return value->get_bool();
  }

  // Empty when absent.
  Result<std::string_view> String(std::string_view key) const {
    const json::value* value = Find(key);
    if (value == nullptr) return std::string_view();
    if (!value->is_string()) return Wrong(key, "a string");
    return View(value->get_string());
  }

  // A list of integers, or one integer; empty when absent.
  Result<std::vector<int>> Ints(std::string_view key, size_t max_count) const {
    std::vector<int> out;
    const json::value* value = Find(key);
    if (value == nullptr) return out;
    if (!value->is_array()) {
      QUERN_ASSIGN(const int one, Int(key));
      out.push_back(one);
      return out;
    }
    const json::array& list = value->get_array();
    if (list.size() > max_count) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{} has {} entries, more than the limit of {}", Path(key), list.size(), max_count));
    }
    for (const json::value& entry : list) {
      if (!entry.is_int64() || entry.get_int64() < 0 || entry.get_int64() > std::numeric_limits<int>::max()) {
        return Error(Code::kCorrupt, fmt::format("{}: expected integers from 0 to 2147483647, got {}", Path(key),
                                                 Shown(json::serialize(entry))));
      }
      out.push_back(static_cast<int>(entry.get_int64()));
    }
    return out;
  }

  // An object; null when absent.
  Result<const json::object*> Object(std::string_view key) const {
    const json::value* value = Find(key);
    if (value == nullptr) return nullptr;
    if (!value->is_object()) return Wrong(key, "an object");
    return &value->get_object();
  }

 private:
  const json::object& object_;
  std::string path_;
};

// qwen3_next without the key.
constexpr double kDefaultPartialRotary = 0.25;

Result<json::value> ParseObject(std::string_view text) {
  QUERN_ASSIGN(json::value value, ParseJson(text, kLimits));
  if (!value.is_object()) return Error(Code::kCorrupt, fmt::format("expected an object, got {}", JsonKindName(value)));
  return value;
}

struct ArchitectureRow {
  std::string_view model_type, class_name;
  Architecture architecture;
};
constexpr ArchitectureRow kArchitectures[] = {
    {"qwen2", "Qwen2ForCausalLM", Architecture::kQwen2},
    {"qwen3", "Qwen3ForCausalLM", Architecture::kQwen3},
    {"qwen3_moe", "Qwen3MoeForCausalLM", Architecture::kQwen3Moe},
    {"qwen3_next", "Qwen3NextForCausalLM", Architecture::kQwen3Next},
};

Result<Architecture> ReadArchitecture(const Fields& fields) {
  QUERN_ASSIGN(const std::string_view model_type, fields.String("model_type"));
  std::string_view class_name;
  if (const json::value* list = fields.Find("architectures")) {
    const json::array* names = list->if_array();
    if (names == nullptr || names->empty() || !(*names)[0].is_string()) {
      return fields.Wrong("architectures", "a list with a class name");
    }
    class_name = View((*names)[0].get_string());
  }
  if (model_type.empty() && class_name.empty()) {
    return Error(Code::kCorrupt, "neither key architectures nor key model_type names the architecture");
  }
  for (const ArchitectureRow& row : kArchitectures) {
    const bool type_fits = model_type.empty() || model_type == row.model_type;
    const bool class_fits = class_name.empty() || class_name == row.class_name;
    if (type_fits && class_fits) return row.architecture;
    if (type_fits != class_fits && (model_type == row.model_type || class_name == row.class_name) &&
        std::any_of(std::begin(kArchitectures), std::end(kArchitectures), [&](const ArchitectureRow& other) {
          return &other != &row && (model_type == other.model_type || class_name == other.class_name);
        })) {
      return Error(Code::kInvalidArgument, fmt::format("key architectures says {} but model_type says {}",
                                                       Shown(class_name), Shown(model_type)));
    }
  }
  return Error(Code::kUnsupported,
               fmt::format("architecture {} (model_type {}) is not supported: this build runs qwen2, "
                           "qwen3, qwen3_moe and qwen3_next",
                           class_name.empty() ? "unnamed" : Shown(class_name),
                           model_type.empty() ? "unnamed" : Shown(model_type)));
}

// FP8 in blocks of 128 x 128 is what we read (model/f8_scales.h). Which tensors are is said by the tensors, not here.
Result<void> CheckQuantization(const Fields& fields) {
  if (fields.Find("quantization_config") == nullptr) return {};
  QUERN_ASSIGN(const json::object* const object, fields.Object("quantization_config"));
  const Fields quantization(*object, "quantization_config.");
  QUERN_ASSIGN(const std::string_view method, quantization.String("quant_method"));
  if (method != "fp8") {
    return Error(Code::kUnsupported,
                 fmt::format("quantization_config.quant_method \"{}\" is not supported", Shown(method)));
  }
  QUERN_ASSIGN(const std::string_view format, quantization.String("fmt"));
  if (!format.empty() && format != "e4m3" && format != "float8_e4m3fn") {
    return Error(Code::kUnsupported,
                 fmt::format("quantization_config.fmt \"{}\" is not supported: expected \"e4m3\"", Shown(format)));
  }
  QUERN_ASSIGN(const std::vector<int> block, quantization.Ints("weight_block_size", 2));
  if (block != std::vector<int>{kF8BlockSide, kF8BlockSide}) {
    return Error(Code::kUnsupported,
                 fmt::format("quantization_config.weight_block_size [{}] is not supported: expected [{}, {}]",
                             fmt::join(block, ", "), kF8BlockSide, kF8BlockSide));
  }
  return {};
}

// Switches that every published checkpoint leaves off; on, they would change the computation.
Result<void> RefuseUnknownFeatures(const Fields& fields, const ModelConfig& config) {
  const auto refuse = [](const std::string& what) { return Error(Code::kUnsupported, what + " is not supported"); };
  QUERN_TRY(CheckQuantization(fields));
  QUERN_ASSIGN(const std::string_view activation, fields.String("hidden_act"));
  if (!activation.empty() && activation != "silu") return refuse(fmt::format("hidden_act \"{}\"", Shown(activation)));
  QUERN_ASSIGN(const bool sliding, fields.BoolOr("use_sliding_window", false));
  if (sliding) return refuse("use_sliding_window true");
  if (config.architecture != Architecture::kQwen2) {
    for (const std::string_view key : {"attention_bias", "qkv_bias"}) {
      QUERN_ASSIGN(const bool bias, fields.BoolOr(key, false));
      if (bias) return refuse(fmt::format("{} true for {}", key, ArchitectureName(config.architecture)));
    }
    QUERN_ASSIGN(const bool qk_norm, fields.BoolOr("use_qk_norm", true));
    if (!qk_norm) return refuse(fmt::format("use_qk_norm false for {}", ArchitectureName(config.architecture)));
  }
  QUERN_ASSIGN(const int shared, fields.IntOr("shared_expert_intermediate_size", 0));
  if (shared != 0 && config.architecture != Architecture::kQwen3Next)
    return refuse(fmt::format("a shared expert (shared_expert_intermediate_size {})", shared));
  return {};
}

// Whether layer_types (a newer transformers writes it) is there; then layer_kinds are what it says. Only qwen3_next has
// other layers than full attention.
Result<bool> ReadLayerTypes(const Fields& fields, ModelConfig& config) {
  const json::value* value = fields.Find("layer_types");
  if (value == nullptr) return false;
  const json::array* list = value->if_array();
  if (list == nullptr) return fields.Wrong("layer_types", "a list of strings");
  if (list->size() != static_cast<size_t>(config.n_layers)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("key layer_types has {} entries, num_hidden_layers is {}", list->size(), config.n_layers));
  }
  const bool may_be_linear = config.architecture == Architecture::kQwen3Next;
  for (size_t layer = 0; layer < list->size(); ++layer) {
    const json::string* name = (*list)[layer].if_string();
    if (name == nullptr) return fields.Wrong("layer_types", "a list of strings");
    if (may_be_linear && *name == "linear_attention") {
      config.layer_kinds.push_back(LayerKind::kGatedDeltaNet);
    } else if (*name == "full_attention") {
      if (may_be_linear) config.layer_kinds.push_back(LayerKind::kFullAttention);
    } else {
      return Error(Code::kUnsupported,
                   fmt::format("layer_types[{}] \"{}\" is not supported", layer, Shown(View(*name))));
    }
  }
  return true;
}

// Every interval-th layer is full attention, the others are recurrent, unless layer_types says which are.
Result<void> ReadLayerKinds(const Fields& fields, ModelConfig& config) {
  QUERN_ASSIGN(const bool listed, ReadLayerTypes(fields, config));
  if (config.architecture != Architecture::kQwen3Next) return {};
  QUERN_ASSIGN(const int interval, fields.IntOr("full_attention_interval", kDefaultFullAttentionInterval));
  if (!listed) config.layer_kinds = LayerKindsOf(config.n_layers, interval);
  return {};
}

Result<void> ReadDeltaNet(const Fields& fields, ModelConfig& config) {
  QUERN_ASSIGN(config.n_linear_key_heads, fields.Int("linear_num_key_heads"));
  QUERN_ASSIGN(config.n_linear_value_heads, fields.Int("linear_num_value_heads"));
  QUERN_ASSIGN(config.linear_key_dim, fields.Int("linear_key_head_dim"));
  QUERN_ASSIGN(config.linear_value_dim, fields.Int("linear_value_head_dim"));
  QUERN_ASSIGN(config.conv_width, fields.Int("linear_conv_kernel_dim"));
  QUERN_ASSIGN(config.d_ff_shared, fields.Int("shared_expert_intermediate_size"));
  return {};
}

Result<void> CheckDTypeName(const Fields& fields) {
  for (const std::string_view key : {"torch_dtype", "dtype"}) {
    QUERN_ASSIGN(const std::string_view name, fields.String(key));
    if (!name.empty() && name != "bfloat16" && name != "float16" && name != "float32" && name != "auto") {
      return Error(Code::kUnsupported,
                   fmt::format("{} \"{}\" is not one of bfloat16, float16, float32", fields.Path(key), Shown(name)));
    }
  }
  return {};
}

// rope_scaling (older) or rope_parameters (newer): "type" or "rope_type", YaRN's numbers, and in the newer form theta.
Result<void> ReadRopeObject(const Fields& fields, std::string_view key, ModelConfig& config) {
  QUERN_ASSIGN(const json::object* const object, fields.Object(key));
  if (object == nullptr) return {};
  const Fields rope(*object, fmt::format("{}.", key));
  if (rope.Find("rope_theta") != nullptr) {
    QUERN_ASSIGN(const double theta, rope.Number("rope_theta"));
    if (fields.Find("rope_theta") != nullptr && theta != config.rope_theta) {
      return Error(Code::kInvalidArgument,
                   fmt::format("key rope_theta says {} but {}.rope_theta says {}", config.rope_theta, key, theta));
    }
    config.rope_theta = theta;
  }
  QUERN_ASSIGN(std::string_view type, rope.String("rope_type"));
  if (type.empty()) {
    QUERN_ASSIGN(type, rope.String("type"));
  }
  if (type == "default" || (type.empty() && rope.Find("factor") == nullptr)) return {};
  if (type != "yarn") {
    return Error(
        Code::kUnsupported,
        fmt::format("{} type \"{}\" is not supported: this build knows \"default\" and \"yarn\"", key, Shown(type)));
  }
  YarnScaling yarn{};
  QUERN_ASSIGN(yarn.factor, rope.Number("factor"));
  QUERN_ASSIGN(yarn.original_context, rope.IntOr("original_max_position_embeddings", config.context_length));
  if (rope.Find("beta_fast") != nullptr) {
    QUERN_ASSIGN(yarn.beta_fast, rope.Number("beta_fast"));
  }
  if (rope.Find("beta_slow") != nullptr) {
    QUERN_ASSIGN(yarn.beta_slow, rope.Number("beta_slow"));
  }
  if (rope.Find("attention_factor") != nullptr) {
    QUERN_ASSIGN(yarn.attention_factor, rope.Number("attention_factor"));
  }
  if (config.yarn.has_value() && *config.yarn != yarn) {
    return Error(Code::kInvalidArgument, "keys rope_scaling and rope_parameters contradict each other");
  }
  config.yarn = yarn;
  return {};
}

// partial_rotary_factor stands beside rope_theta or, in newer files, with it in rope_parameters.
Result<void> ReadPartialRotary(const Fields& fields, ModelConfig& config) {
  const bool may_be_partial = config.architecture == Architecture::kQwen3Next;
  std::optional<double> factor;
  for (const std::string_view place : {"", "rope_scaling", "rope_parameters"}) {
    const json::object* object = nullptr;
    if (!place.empty()) {
      QUERN_ASSIGN(object, fields.Object(place));
      if (object == nullptr) continue;
    }
    const Fields here = object == nullptr ? fields : Fields(*object, fmt::format("{}.", place));
    if (here.Find("partial_rotary_factor") == nullptr) continue;
    QUERN_ASSIGN(const double seen, here.Number("partial_rotary_factor"));
    if (seen != 1 && !may_be_partial) {
      return Error(Code::kUnsupported, fmt::format("{} {} is not supported for {}", here.Path("partial_rotary_factor"),
                                                   seen, ArchitectureName(config.architecture)));
    }
    if (factor.has_value() && *factor != seen) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{} says {} but {} was said before", here.Path("partial_rotary_factor"), seen, *factor));
    }
    factor = seen;
  }
  if (!may_be_partial) return {};
  const double part = factor.value_or(kDefaultPartialRotary);
  if (!(part > 0 && part <= 1)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("key partial_rotary_factor is {}, expected above 0, up to 1", part));
  }
  // Rounded down, as the reference does. At least 1, so that an absurdly small factor is refused and not read as "all".
  config.n_rotary_dims = std::max(static_cast<int>(config.head_dim * part), 1);
  return {};
}

Result<void> ReadRope(const Fields& fields, ModelConfig& config) {
  const bool has_theta = fields.Find("rope_theta") != nullptr;
  if (has_theta) {
    QUERN_ASSIGN(config.rope_theta, fields.Number("rope_theta"));
  }
  QUERN_ASSIGN(const json::object* const parameters, fields.Object("rope_parameters"));
  if (!has_theta && (parameters == nullptr || !parameters->contains("rope_theta"))) {
    return Error(Code::kCorrupt, "key rope_theta is missing (and rope_parameters.rope_theta): expected a number");
  }
  QUERN_TRY(ReadPartialRotary(fields, config));
  QUERN_TRY(ReadRopeObject(fields, "rope_scaling", config));
  return ReadRopeObject(fields, "rope_parameters", config);
}

Result<void> ReadMoe(const Fields& fields, ModelConfig& config) {
  QUERN_ASSIGN(config.n_experts, fields.Int("num_experts"));
  if (config.n_experts == 0) return {};
  QUERN_ASSIGN(config.n_experts_used, fields.Int("num_experts_per_tok"));
  QUERN_ASSIGN(config.d_ff_expert, fields.Int("moe_intermediate_size"));
  if (fields.Find("norm_topk_prob") == nullptr) return fields.Wrong("norm_topk_prob", "true or false");
  QUERN_ASSIGN(config.norm_topk_prob, fields.BoolOr("norm_topk_prob", true));
  QUERN_ASSIGN(config.decoder_sparse_step, fields.IntOr("decoder_sparse_step", 1));
  QUERN_ASSIGN(config.mlp_only_layers, fields.Ints("mlp_only_layers", kMaxLayers));
  return {};
}

// Without the key: hidden_size / num_attention_heads, 128 for dense qwen3 and 256 for qwen3_next, as the reference's
// classes have it.
Result<void> ReadHeadDim(const Fields& fields, ModelConfig& config) {
  if (fields.Find("head_dim") != nullptr) {
    QUERN_ASSIGN(config.head_dim, fields.Int("head_dim"));
    return {};
  }
  if (config.architecture == Architecture::kQwen3 || config.architecture == Architecture::kQwen3Next) {
    config.head_dim = config.architecture == Architecture::kQwen3 ? 128 : 256;
    return {};
  }
  if (config.n_heads <= 0 || config.d_model % config.n_heads != 0) {
    return Error(Code::kInvalidArgument,
                 fmt::format("hidden_size {} is no multiple of num_attention_heads {} and head_dim is missing",
                             config.d_model, config.n_heads));
  }
  config.head_dim = config.d_model / config.n_heads;
  return {};
}

}  // namespace

Result<ModelConfig> ParseConfig(std::string_view text) {
  QUERN_ASSIGN(const json::value root, ParseObject(text));
  const Fields fields(root.get_object(), "");
  ModelConfig config;
  QUERN_ASSIGN(config.architecture, ReadArchitecture(fields));
  QUERN_TRY(RefuseUnknownFeatures(fields, config));
  QUERN_TRY(CheckDTypeName(fields));
  config.attention_bias = config.architecture == Architecture::kQwen2;
  config.qk_norm = config.architecture != Architecture::kQwen2;
  config.attention_gate = config.architecture == Architecture::kQwen3Next;
  QUERN_ASSIGN(config.d_model, fields.Int("hidden_size"));
  QUERN_ASSIGN(config.n_layers, fields.Int("num_hidden_layers"));
  QUERN_ASSIGN(config.n_heads, fields.Int("num_attention_heads"));
  QUERN_ASSIGN(config.n_kv_heads, fields.IntOr("num_key_value_heads", config.n_heads));
  QUERN_TRY(ReadHeadDim(fields, config));
  QUERN_ASSIGN(config.vocab, fields.Int("vocab_size"));
  QUERN_ASSIGN(config.context_length, fields.Int("max_position_embeddings"));
  QUERN_ASSIGN(const double eps, fields.Number("rms_norm_eps"));
  config.norm_eps = static_cast<float>(eps);
  QUERN_TRY(ReadRope(fields, config));
  QUERN_ASSIGN(config.tied_embeddings, fields.BoolOr("tie_word_embeddings", false));
  if (config.architecture == Architecture::kQwen3Moe || config.architecture == Architecture::kQwen3Next) {
    QUERN_TRY(ReadMoe(fields, config));
  }
  QUERN_ASSIGN(config.d_ff, fields.IntOr("intermediate_size", 0));
  QUERN_ASSIGN(config.eos_tokens, fields.Ints("eos_token_id", kMaxEosTokens));
  QUERN_TRY(ReadLayerKinds(fields, config));
  if (config.architecture == Architecture::kQwen3Next) QUERN_TRY(ReadDeltaNet(fields, config));
  return FinishConfig(std::move(config));
}

Result<GenerationConfig> ParseGenerationConfig(std::string_view text) {
  QUERN_ASSIGN(const json::value root, ParseObject(text));
  const Fields fields(root.get_object(), "");
  GenerationConfig out;
  const std::pair<std::string_view, std::optional<float>*> numbers[] = {
      {"temperature", &out.temperature},
      {"top_p", &out.top_p},
      {"min_p", &out.min_p},
      {"repetition_penalty", &out.repetition_penalty},
  };
  for (const auto& [key, target] : numbers) {
    if (fields.Find(key) == nullptr) continue;
    QUERN_ASSIGN(const double number, fields.Number(key));
    *target = static_cast<float>(number);
  }
  if (fields.Find("top_k") != nullptr) {
    QUERN_ASSIGN(out.top_k, fields.Int("top_k"));
  }
  QUERN_ASSIGN(const bool sample, fields.BoolOr("do_sample", true));
  if (!sample) out.temperature = 0.0F;  // the publisher's default is greedy
  QUERN_ASSIGN(out.eos_tokens, fields.Ints("eos_token_id", kMaxEosTokens));
  return FinishGenerationConfig(std::move(out));
}

}  // namespace quern::model
