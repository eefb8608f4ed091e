#include "model/config.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace quern::model {
namespace {

namespace json = boost::json;

json::object Qwen2Base() {
  return json::parse(R"({"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_size":64,
    "intermediate_size":160,"num_hidden_layers":3,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":300,
    "max_position_embeddings":1024,"rms_norm_eps":1e-5,"rope_theta":1000000.0,"tie_word_embeddings":true,
    "eos_token_id":[7,8],"hidden_act":"silu","torch_dtype":"bfloat16","use_sliding_window":false,
    "sliding_window":null})")
      .as_object();
}

json::object MoeBase() {
  json::object out = Qwen2Base();
  out["architectures"] = {"Qwen3MoeForCausalLM"};
  out["model_type"] = "qwen3_moe";
  out["head_dim"] = 32;
  out["num_experts"] = 8;
  out["num_experts_per_tok"] = 2;
  out["moe_intermediate_size"] = 48;
  out["norm_topk_prob"] = true;
  return out;
}

Result<ModelConfig> Parse(const json::object& object) { return ParseConfig(json::serialize(object)); }

// base with one key changed by merge (a JSON object of keys; null means removed).
std::string ErrorOf(json::object object, std::string_view merge) {
  const json::value changes = json::parse(json::string_view(merge.data(), merge.size()));
  for (const auto& change : changes.as_object()) {
    object.erase(change.key());
    if (!change.value().is_null()) object[change.key()] = change.value();
  }
  const auto parsed = Parse(object);
  return parsed.has_value() ? "no error" : parsed.error().ToString();
}

TEST(ParseConfig, ReadsQwen2) {
  const auto config = Parse(Qwen2Base());
  ASSERT_TRUE(config.has_value()) << config.error().ToString();
  EXPECT_EQ(config->architecture, Architecture::kQwen2);
  EXPECT_EQ(config->head_dim, 16);
  EXPECT_EQ(config->d_ff, 160);
  EXPECT_TRUE(config->attention_bias);
  EXPECT_FALSE(config->qk_norm);
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_FLOAT_EQ(config->norm_eps, 1e-5F);
  EXPECT_EQ(config->eos_tokens, (std::vector<int>{7, 8}));
  EXPECT_EQ(config->n_experts, 0);
  EXPECT_FALSE(config->IsMoeLayer(0));
  EXPECT_EQ(*config, *Parse(Qwen2Base()));
}

TEST(ParseConfig, ReadsQwen3Moe) {
  json::object object = MoeBase();
  object["mlp_only_layers"] = {1};
  const auto config = Parse(object);
  ASSERT_TRUE(config.has_value()) << config.error().ToString();
  EXPECT_FALSE(config->attention_bias);
  EXPECT_TRUE(config->qk_norm);
  EXPECT_EQ(config->head_dim, 32);
  EXPECT_TRUE(config->IsMoeLayer(0));
  EXPECT_FALSE(config->IsMoeLayer(1));
  EXPECT_EQ(config->d_ff, 160) << "layer 1 is dense";
  EXPECT_EQ(Parse(MoeBase())->d_ff, 0) << "no dense layer: the width is unused";
}

TEST(ParseConfig, SparseStepCountsFromOne) {
  json::object object = MoeBase();
  object["decoder_sparse_step"] = 2;
  const auto config = Parse(object);
  ASSERT_TRUE(config.has_value());
  EXPECT_FALSE(config->IsMoeLayer(0));
  EXPECT_TRUE(config->IsMoeLayer(1));
}

TEST(ParseConfig, FillsTheHeadDimThatTheReferenceClassHas) {
  json::object qwen3 = Qwen2Base();
  qwen3["architectures"] = {"Qwen3ForCausalLM"};
  qwen3["model_type"] = "qwen3";
  EXPECT_EQ(Parse(qwen3)->head_dim, 128);
  json::object moe = MoeBase();
  moe.erase("head_dim");
  EXPECT_EQ(Parse(moe)->head_dim, 16);
}

TEST(ParseConfig, TakesKvHeadsFromHeadsWhenMissing) {
  json::object object = Qwen2Base();
  object["num_key_value_heads"] = nullptr;
  EXPECT_EQ(Parse(object)->n_kv_heads, 4);
}

TEST(ParseConfig, AcceptsEitherNameOfTheArchitecture) {
  EXPECT_EQ(ErrorOf(Qwen2Base(), R"({"model_type":null})"), "no error");
  EXPECT_EQ(ErrorOf(Qwen2Base(), R"({"architectures":null})"), "no error");
  EXPECT_EQ(ErrorOf(Qwen2Base(), R"({"torch_dtype":null,"dtype":"float32"})"), "no error");
}

TEST(ParseConfig, ReadsYarnInBothSpellings) {
  json::object older = Qwen2Base();
  older["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 1024}};
  const auto config = Parse(older);
  ASSERT_TRUE(config.has_value()) << config.error().ToString();
  ASSERT_TRUE(config->yarn.has_value());
  EXPECT_EQ(config->yarn->factor, 4);
  EXPECT_EQ(config->yarn->original_context, 1024);
  EXPECT_EQ(config->yarn->beta_fast, 32);
  EXPECT_EQ(config->yarn->beta_slow, 1);
  EXPECT_EQ(config->context_length, 4096);

  json::object newer = Qwen2Base();
  newer.erase("rope_theta");
  newer["rope_parameters"] = {
      {"rope_type", "yarn"}, {"factor", 4},    {"rope_theta", 5e6},      {"original_max_position_embeddings", 1024},
      {"beta_fast", 16},     {"beta_slow", 2}, {"attention_factor", 1.5}};
  const auto with_parameters = Parse(newer);
  ASSERT_TRUE(with_parameters.has_value()) << with_parameters.error().ToString();
  EXPECT_EQ(with_parameters->rope_theta, 5e6);
  EXPECT_EQ(*with_parameters->yarn, (YarnScaling{4, 1024, 16, 2, 1.5}));
}

TEST(ParseConfig, TakesDefaultRopeParameters) {
  EXPECT_EQ(ErrorOf(Qwen2Base(), R"({"rope_theta":null,"rope_parameters":{"rope_type":"default","rope_theta":1e6}})"),
            "no error");
  EXPECT_EQ(ErrorOf(Qwen2Base(), R"({"rope_parameters":{"rope_type":"default","rope_theta":2e6}})"),
            "invalid_argument: key rope_theta says 1000000 but rope_parameters.rope_theta says 2000000");
}

struct BadConfig {
  const char* change;
  const char* message;
};

TEST(ParseConfig, NamesWhatIsWrong) {
  const BadConfig rows[] = {
      {R"({"hidden_size":null})", "corrupt: key hidden_size is missing: expected an integer from 0 to 2147483647"},
      {R"({"hidden_size":"64"})", "corrupt: key hidden_size: expected an integer from 0 to 2147483647, got \"64\""},
      {R"({"hidden_size":64.5})", "corrupt: key hidden_size: expected an integer from 0 to 2147483647, got 6.45E1"},
      {R"({"hidden_size":-64})", "corrupt: key hidden_size: expected an integer from 0 to 2147483647, got -64"},
      {R"({"hidden_size":[64]})", "corrupt: key hidden_size: expected an integer from 0 to 2147483647, got an array"},
      {R"({"hidden_size":100000000})", "invalid_argument: hidden_size is 100000000, expected 1 to 65536"},
      {R"({"hidden_size":66})",
       "invalid_argument: hidden_size 66 is no multiple of num_attention_heads 4 and head_dim is missing"},
      {R"({"num_attention_heads":0,"head_dim":16})", "invalid_argument: num_attention_heads is 0, expected 1 to 1024"},
      {R"({"num_key_value_heads":3})",
       "invalid_argument: num_attention_heads 4 is no multiple of num_key_value_heads 3"},
      {R"({"num_key_value_heads":8})", "invalid_argument: num_key_value_heads is 8, expected 1 to 4"},
      {R"({"head_dim":15})", "invalid_argument: head_dim is 15, expected an even number (rotary pairs)"},
      {R"({"num_hidden_layers":0})", "invalid_argument: num_hidden_layers is 0, expected 1 to 1024"},
      {R"({"num_hidden_layers":2000})", "invalid_argument: num_hidden_layers is 2000, expected 1 to 1024"},
      {R"({"vocab_size":0})", "invalid_argument: vocab_size is 0, expected 1 to 4194304"},
      {R"({"intermediate_size":null})", "invalid_argument: intermediate_size is 0, expected 1 to 1048576"},
      {R"({"max_position_embeddings":0})", "invalid_argument: max_position_embeddings is 0, expected 1 to 16777216"},
      {R"({"rms_norm_eps":0})", "invalid_argument: rms_norm_eps is 0, expected above 0, up to 0.1"},
      {R"({"rms_norm_eps":"1e-6"})", "corrupt: key rms_norm_eps: expected a finite number, got \"1e-6\""},
      {R"({"rope_theta":null})",
       "corrupt: key rope_theta is missing (and rope_parameters.rope_theta): expected a number"},
      {R"({"rope_theta":1})", "invalid_argument: rope_theta is 1, expected above 1, up to 1e15"},
      {R"({"eos_token_id":300})", "invalid_argument: eos_token_id is 300, expected 0 to 299"},
      {R"({"eos_token_id":["7"]})", "corrupt: key eos_token_id: expected integers from 0 to 2147483647, got \"7\""},
      {R"({"tie_word_embeddings":1})", "corrupt: key tie_word_embeddings: expected true or false, got 1"},
      {R"({"hidden_act":"gelu"})", "unsupported: hidden_act \"gelu\" is not supported"},
      {R"({"use_sliding_window":true})", "unsupported: use_sliding_window true is not supported"},
      {R"({"torch_dtype":"float8_e4m3fn"})",
       "unsupported: key torch_dtype \"float8_e4m3fn\" is not one of bfloat16, float16, float32"},
      {R"({"quantization_config":{"quant_method":"awq","bits":4}})",
       "unsupported: quantization_config.quant_method \"awq\" is not supported"},
      {R"({"quantization_config":{"quant_method":"fp8","weight_block_size":[64,128]}})",
       "unsupported: quantization_config.weight_block_size [64, 128] is not supported: expected [128, 128]"},
      {R"({"quantization_config":{"quant_method":"fp8"}})",
       "unsupported: quantization_config.weight_block_size [] is not supported: expected [128, 128]"},
      {R"({"quantization_config":{"quant_method":"fp8","weight_block_size":[128,128],"fmt":"e5m2"}})",
       "unsupported: quantization_config.fmt \"e5m2\" is not supported: expected \"e4m3\""},
      {R"({"quantization_config":[]})", "corrupt: key quantization_config: expected an object, got an array"},
      {R"({"rope_scaling":{"type":"dynamic","factor":2}})",
       "unsupported: rope_scaling type \"dynamic\" is not supported: this build knows \"default\" and \"yarn\""},
      {R"({"rope_scaling":{"type":"yarn"}})", "corrupt: key rope_scaling.factor is missing: expected a finite number"},
      {R"({"rope_scaling":{"type":"yarn","factor":0.5}})", "invalid_argument: YaRN factor is 0.5, expected 1 to 1024"},
      {R"({"rope_scaling":{"type":"yarn","factor":2,"beta_fast":1,"beta_slow":2}})",
       "invalid_argument: YaRN beta_fast is 1 and beta_slow 2, expected 0 < slow < fast"},
      {R"({"rope_scaling":{"type":"yarn","factor":2,"attention_factor":0}})",
       "invalid_argument: YaRN attention_factor is 0, expected above 0, up to 100"},
      {R"({"rope_scaling":{"type":"yarn","factor":2},"rope_parameters":{"rope_type":"yarn","factor":3}})",
       "invalid_argument: keys rope_scaling and rope_parameters contradict each other"},
      {R"({"partial_rotary_factor":0.25})", "unsupported: key partial_rotary_factor 0.25 is not supported for qwen2"},
      {R"({"layer_types":["full_attention"]})",
       "invalid_argument: key layer_types has 1 entries, num_hidden_layers is 3"},
      {R"({"layer_types":["full_attention","full_attention","sliding_attention"]})",
       "unsupported: layer_types[2] \"sliding_attention\" is not supported"},
      {R"({"architectures":["LlamaForCausalLM"],"model_type":"llama"})",
       "unsupported: architecture LlamaForCausalLM (model_type llama) is not supported: this build runs qwen2, "
       "qwen3, qwen3_moe and qwen3_next"},
      {R"({"architectures":["Qwen2ForCausalLM"],"model_type":"qwen3"})",
       "invalid_argument: key architectures says Qwen2ForCausalLM but model_type says qwen3"},
      {R"({"architectures":null,"model_type":null})",
       "corrupt: neither key architectures nor key model_type names the architecture"},
      {R"({"architectures":[]})", "corrupt: key architectures: expected a list with a class name, got an array"},
  };
  for (const BadConfig& row : rows) EXPECT_EQ(ErrorOf(Qwen2Base(), row.change), row.message) << row.change;
}

TEST(ParseConfig, NamesWhatIsWrongWithExperts) {
  const BadConfig rows[] = {
      {R"({"num_experts":null})", "corrupt: key num_experts is missing: expected an integer from 0 to 2147483647"},
      {R"({"num_experts":5000})", "invalid_argument: num_experts is 5000, expected 1 to 4096"},
      {R"({"num_experts_per_tok":9})", "invalid_argument: num_experts_per_tok is 9, expected 1 to 8"},
      {R"({"moe_intermediate_size":0})", "invalid_argument: moe_intermediate_size is 0, expected 1 to 1048576"},
      {R"({"norm_topk_prob":null})", "corrupt: key norm_topk_prob is missing: expected true or false"},
      {R"({"decoder_sparse_step":0})", "invalid_argument: decoder_sparse_step is 0, expected 1 to 1024"},
      {R"({"mlp_only_layers":[3]})", "invalid_argument: a layer of mlp_only_layers is 3, expected 0 to 2"},
      {R"({"shared_expert_intermediate_size":64})",
       "unsupported: a shared expert (shared_expert_intermediate_size 64) is not supported"},
      {R"({"attention_bias":true})", "unsupported: attention_bias true for qwen3_moe is not supported"},
      {R"({"qkv_bias":true})", "unsupported: qkv_bias true for qwen3_moe is not supported"},
      {R"({"use_qk_norm":false})", "unsupported: use_qk_norm false for qwen3_moe is not supported"},
  };
  for (const BadConfig& row : rows) EXPECT_EQ(ErrorOf(MoeBase(), row.change), row.message) << row.change;
}

json::object NextBase() {
  return json::parse(R"({"architectures":["Qwen3NextForCausalLM"],"model_type":"qwen3_next","hidden_size":64,
    "num_hidden_layers":8,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,"intermediate_size":80,
    "vocab_size":300,"max_position_embeddings":512,"rms_norm_eps":1e-6,"rope_theta":5000000,"rope_scaling":null,
    "partial_rotary_factor":0.5,"full_attention_interval":4,"num_experts":8,"num_experts_per_tok":2,
    "moe_intermediate_size":16,"shared_expert_intermediate_size":24,"norm_topk_prob":true,"linear_num_key_heads":2,
    "linear_num_value_heads":4,"linear_key_head_dim":8,"linear_value_head_dim":12,"linear_conv_kernel_dim":4})")
      .as_object();
}

TEST(ParseConfig, ReadsRecurrentLayersInBothSpellings) {
  const auto config = Parse(NextBase());
  ASSERT_TRUE(config.has_value()) << config.error().ToString();
  EXPECT_EQ(config->CountLayers(LayerKind::kFullAttention), 2);
  EXPECT_EQ(config->KindOf(3), LayerKind::kFullAttention);
  EXPECT_EQ(config->KindOf(4), LayerKind::kGatedDeltaNet);
  EXPECT_EQ(config->RotaryDims(), 8);
  EXPECT_TRUE(config->attention_gate);
  EXPECT_EQ(config->KvBytesPerToken({}), 2 * 2 * 2 * (32 * 2 + 4));  // heads of 16 are filled up to 32
  EXPECT_EQ(config->ConvChannels(), 2 * 2 * 8 + 4 * 12);
  // Matrices; changes, decays and keys of a chunk of 8 tokens; columns of the convolution.
  EXPECT_EQ(config->StateBytesPerSequence(), 6 * 4 * (4 * 8 * 12 + 8 * (4 * 12 + 4 + 2 * 8) + 3 * 80));

  json::object newer = NextBase();
  for (const char* key : {"rope_theta", "rope_scaling", "partial_rotary_factor", "full_attention_interval"}) {
    newer.erase(key);
  }
  newer["rope_parameters"] = json::parse(R"({"rope_type":"default","rope_theta":5000000,"partial_rotary_factor":0.5})");
  newer["layer_types"] = json::parse(R"(["linear_attention","linear_attention","linear_attention","full_attention",
    "linear_attention","linear_attention","linear_attention","full_attention"])");
  const auto other = Parse(newer);
  ASSERT_TRUE(other.has_value()) << other.error().ToString();
  EXPECT_EQ(*other, *config);

  json::object silent = NextBase();
  silent.erase("partial_rotary_factor");
  silent.erase("full_attention_interval");
  const auto defaults = Parse(silent);
  ASSERT_TRUE(defaults.has_value()) << defaults.error().ToString();
  EXPECT_EQ(defaults->RotaryDims(), 4);
  EXPECT_EQ(defaults->layer_kinds, config->layer_kinds);
}

TEST(ParseConfig, NamesWhatIsWrongWithRecurrentLayers) {
  const BadConfig rows[] = {
      {R"({"linear_num_key_heads":null})",
       "corrupt: key linear_num_key_heads is missing: expected an integer from 0 to 2147483647"},
      {R"({"linear_num_value_heads":3})",
       "invalid_argument: linear_num_value_heads 3 is no multiple of linear_num_key_heads 2"},
      {R"({"linear_key_head_dim":0})", "invalid_argument: linear_key_head_dim is 0, expected 1 to 1024"},
      {R"({"linear_conv_kernel_dim":17})", "invalid_argument: linear_conv_kernel_dim is 17, expected 1 to 16"},
      {R"({"partial_rotary_factor":0})", "invalid_argument: key partial_rotary_factor is 0, expected above 0, up to 1"},
      {R"({"partial_rotary_factor":0.2})", "invalid_argument: 3 of 16 dims are rotated, expected an even number"},
      {R"({"partial_rotary_factor":0.01})", "invalid_argument: rotary dims is 1, expected 2 to 16"},
      {R"({"rope_parameters":{"partial_rotary_factor":0.25}})",
       "invalid_argument: key rope_parameters.partial_rotary_factor says 0.25 but 0.5 was said before"},
      {R"({"full_attention_interval":0})", "unsupported: a model without a layer of full attention is not supported"},
      {R"({"layer_types":["linear_attention"]})",
       "invalid_argument: key layer_types has 1 entries, num_hidden_layers is 8"},
  };
  for (const BadConfig& row : rows) EXPECT_EQ(ErrorOf(NextBase(), row.change), row.message) << row.change;
}

TEST(ParseConfig, RefusesWhatIsNotAnObject) {
  EXPECT_EQ(ParseConfig("[]").error().ToString(), "corrupt: expected an object, got an array");
  EXPECT_EQ(ParseConfig("").error().code(), Code::kCorrupt);
  EXPECT_EQ(ParseConfig(std::string(size_t{5} << 20, ' ')).error().code(), Code::kExhausted);
  EXPECT_EQ(ParseConfig(R"({"hidden_size":1,"hidden_size":2})").error().code(), Code::kCorrupt);
}

TEST(ParseGenerationConfig, ReadsThePublishedKeys) {
  const auto config = ParseGenerationConfig(
      R"({"pad_token_id":151643,"do_sample":true,"eos_token_id":[151645,151643],"repetition_penalty":1.05,
          "temperature":0.7,"top_p":0.8,"top_k":20,"transformers_version":"4.43.1"})");
  ASSERT_TRUE(config.has_value()) << config.error().ToString();
  EXPECT_EQ(*config, (GenerationConfig{0.7F, 0.8F, std::nullopt, 1.05F, 20, {151645, 151643}}));
  EXPECT_EQ(*ParseGenerationConfig("{}"), GenerationConfig{});
  EXPECT_EQ(*ParseGenerationConfig(R"({"eos_token_id":5,"do_sample":false})"),
            (GenerationConfig{.temperature = 0.0F, .eos_tokens = {5}}));
}

TEST(ParseGenerationConfig, NamesWhatIsWrong) {
  const auto error = [](std::string_view text) { return ParseGenerationConfig(text).error().ToString(); };
  EXPECT_EQ(error(R"({"top_p":1.5})"), "invalid_argument: top_p is 1.5, expected 0 to 1");
  EXPECT_EQ(error(R"({"temperature":-1})"), "invalid_argument: temperature is -1, expected 0 to 100");
  EXPECT_EQ(error(R"({"temperature":"hot"})"), "corrupt: key temperature: expected a finite number, got \"hot\"");
  EXPECT_EQ(error(R"({"top_k":-1})"), "corrupt: key top_k: expected an integer from 0 to 2147483647, got -1");
  EXPECT_EQ(error(R"({"eos_token_id":-1})"),
            "corrupt: key eos_token_id: expected an integer from 0 to 2147483647, got -1");
}

// The published configurations live beside the checkout when they are there.
const std::filesystem::path kPublished = "../shared/data/configs";

json::object Published(const std::string& name) {
  std::ifstream file(kPublished / (name + ".json"));
  std::stringstream text;
  text << file.rdbuf();
  return json::parse(text.str()).as_object();
}

struct PublishedRow {
  const char* name;
  double parameters_e9;
  int kv_bytes_per_token;
};

constexpr PublishedRow kRows[] = {
    {"Qwen2.5-Coder-0.5B-Instruct", 0.494, 12288},
    {"Qwen2.5-Coder-1.5B-Instruct", 1.544, 28672},
    {"Qwen2.5-Coder-3B", 3.086, 36864},
    {"Qwen2.5-Coder-3B-Instruct", 3.086, 36864},
    {"Qwen2.5-Coder-7B-Instruct", 7.616, 57344},
    {"Qwen2.5-Coder-14B", 14.770, 196608},
    {"Qwen2.5-Coder-14B-Instruct", 14.770, 196608},
    {"Qwen2.5-Coder-32B", 32.764, 262144},
    {"Qwen2.5-Coder-32B-Instruct", 32.764, 262144},
    {"Qwen3-Coder-30B-A3B-Instruct", 30.532, 96 * 1024},
    {"Qwen3-Coder-480B-A35B-Instruct", 480.155, 248 * 1024},
    {"Qwen3-Coder-Next", 79.674, 24 * 1024},
    {"Qwen3-Coder-30B-A3B-Instruct-FP8", 30.532, 96 * 1024},
    {"Qwen3-Coder-480B-A35B-Instruct-FP8", 480.155, 248 * 1024},
};

TEST(WithYarn, StretchesTheNativeContextWhateverTheFileSays) {
  ModelConfig config;
  config.d_model = 64;
  config.n_layers = 1;
  config.n_heads = config.n_kv_heads = 1;
  config.head_dim = 64;
  config.d_ff = 64;
  config.vocab = 8;
  config.context_length = 32768;
  const auto twice = WithYarn(config, 2);
  ASSERT_TRUE(twice.has_value()) << twice.error().ToString();
  EXPECT_EQ(twice->context_length, 65536);
  EXPECT_EQ(twice->yarn->original_context, 32768);
  const auto again = WithYarn(*twice, 32);
  ASSERT_TRUE(again.has_value()) << again.error().ToString();
  EXPECT_EQ(again->context_length, 1048576);
  EXPECT_EQ(again->NativeContext(), 32768);
  EXPECT_EQ(WithYarn(config, 0.5).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(WithYarn(config, 1000).error().code(), Code::kInvalidArgument) << "32768000 tokens";
}

TEST(PublishedConfigs, ParseWithTheirPublishedSizes) {
  if (!std::filesystem::exists(kPublished)) GTEST_SKIP() << kPublished << " is not here";
  size_t n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kPublished))
    n_files += entry.path().extension() == ".json";
  EXPECT_EQ(n_files, std::size(kRows)) << "a configuration that this table does not know";
  for (const PublishedRow& row : kRows) {
    SCOPED_TRACE(row.name);
    const json::object file = Published(row.name);
    const auto config = Parse(file.at("config").as_object());
    ASSERT_TRUE(config.has_value()) << config.error().ToString();
    EXPECT_NEAR(static_cast<double>(config->CountParameters()) / 1e9, row.parameters_e9, 0.0006);
    using enum kernels::KvType;
    EXPECT_EQ(config->KvBytesPerToken({kF16, kF16}), row.kv_bytes_per_token);
    // 32 bits per head, 8.5 and 4.5 bits per value: scales included, nothing hidden.
    EXPECT_EQ(config->KvBytesPerToken({kI16, kI16}) * 2 * config->head_dim,
              row.kv_bytes_per_token * (2 * config->head_dim + 4));
    EXPECT_EQ(config->KvBytesPerToken({kQ8, kQ8}) * 32, row.kv_bytes_per_token * 17);
    EXPECT_EQ(config->KvBytesPerToken({kQ4, kQ4}) * 32, row.kv_bytes_per_token * 9);
    EXPECT_EQ(config->KvBytesPerToken({kQ8, kQ4}) * 64, row.kv_bytes_per_token * 26);
    // 36 layers of 32 heads of 128 x 128, of 8 tokens with 32 changes, 32 decays and 16 keys, and of 3 columns of 8192
    // channels, in f32.
    const bool recurrent = config->architecture == Architecture::kQwen3Next;
    const int64_t chunk = 8 * (32 * 128 + 32 + 16 * 128);
    EXPECT_EQ(config->StateBytesPerSequence(), recurrent ? 36 * (32 * 128 * 128 + chunk + 3 * 8192) * 4 : 0);
    if (file.at("generation_config").is_object()) {
      const auto generation = ParseGenerationConfig(json::serialize(file.at("generation_config")));
      ASSERT_TRUE(generation.has_value()) << generation.error().ToString();
      EXPECT_EQ(generation->eos_tokens, (std::vector<int>{151645, 151643}));
    }
  }
}

}  // namespace
}  // namespace quern::model
