// qwen3next GGUF files as converters write them, made here from a golden checkpoint, compute what the checkpoint does.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "model/golden_case.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

struct Values {
  std::vector<int64_t> shape;  // as in safetensors, outermost first
  std::vector<float> data;
};

// Little-endian bytes of a GGUF file with f32 tensors.
class Writer {
 public:
  template <typename T>
  void Raw(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Text(const std::string& text) {
    Raw(uint64_t{text.size()});
    bytes_ += text;
  }
  void Key(const std::string& key, uint32_t type) {
    ++n_keys;
    Text(key);
    Raw(type);
  }
  void U32(const std::string& key, uint32_t value) {
    Key(key, 4);
    Raw(value);
  }
  void F32(const std::string& key, float value) {
    Key(key, 6);
    Raw(value);
  }
  void Flags(const std::string& key, const std::vector<bool>& values) {
    Key(key, 9);
    Raw(uint32_t{7});
    Raw(uint64_t{values.size()});
    for (const bool value : values) Raw(static_cast<uint8_t>(value));
  }
  void Integers(const std::string& key, const std::vector<int32_t>& values) {
    Key(key, 9);
    Raw(uint32_t{5});
    Raw(uint64_t{values.size()});
    for (const int32_t value : values) Raw(value);
  }

  void Write(const fs::path& path, const std::map<std::string, Values>& tensors) const {
    Writer head, infos;
    head.bytes_ = "GGUF";
    head.Raw(uint32_t{3});
    head.Raw(uint64_t{tensors.size()});
    head.Raw(uint64_t{n_keys});
    std::string data;
    for (const auto& [name, values] : tensors) {
      infos.Text(name);
      infos.Raw(static_cast<uint32_t>(values.shape.size()));
      for (auto dim = values.shape.rbegin(); dim != values.shape.rend(); ++dim) infos.Raw(*dim);
      infos.Raw(uint32_t{0});
      infos.Raw(uint64_t{data.size()});
      data.append(reinterpret_cast<const char*>(values.data.data()), values.data.size() * sizeof(float));
      data.resize((data.size() + 31) / 32 * 32);
    }
    std::string all = head.bytes_ + bytes_ + infos.bytes_;
    all.resize((all.size() + 31) / 32 * 32);
    std::ofstream(path, std::ios::binary) << all << data;
  }

  uint64_t n_keys = 0;

 private:
  std::string bytes_;
};

struct Form {
  const char* name;
  bool legacy_input;              // ssm_in instead of attn_qkv and attn_gate
  bool listed_heads;              // head_count_kv is a list with zeros, and no interval
  bool mtp_block;                 // one more block, with the multi-token prediction head
  bool recurrent_layers = false;  // a list of which layers are recurrent, and an interval that it overrules
};
constexpr Form kForms[] = {{"usual", false, false, false},
                           {"legacy", true, false, false},
                           {"listed", false, true, false},
                           {"mtp", false, true, true},
                           {"recurrent_layers", false, false, false, true},
                           {"recurrent_layers_and_mtp", false, true, true, true}};

class GgufNext : public testing::TestWithParam<Form> {
 protected:
  GgufNext()
      : source_(GetParam().mtp_block ? fs::path("tests/golden/mtp/f32") : GoldenFolder() / "qwen3_next_untied" / "f32"),
        path_(fs::temp_directory_path() / fmt::format("quern_next_{}_{}.gguf", ::getpid(), GetParam().name)),
        checkpoint_(*Checkpoint::Open(source_)),
        config_(checkpoint_->config()) {}
  ~GgufNext() override { fs::remove(path_); }

  Values Read(const std::string& name) const {
    const StoredTensor* tensor = checkpoint_->Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    Values out{{tensor->shape.begin(), tensor->shape.end()}, std::vector<float>(tensor->bytes.size() / 4)};
    std::memcpy(out.data.data(), tensor->bytes.data(), tensor->bytes.size());
    return out;
  }

  Values Norm(const std::string& name) const {
    Values out = Read(name);
    for (float& v : out.data) v += 1.0F;
    return out;
  }

  Values Stacked(const std::string& mlp, const std::string& projection) const {
    Values out;
    for (int e = 0; e < config_.n_experts; ++e) {
      const Values one = Read(fmt::format("{}experts.{}.{}.weight", mlp, e, projection));
      out.shape = {config_.n_experts, one.shape[0], one.shape[1]};
      out.data.insert(out.data.end(), one.data.begin(), one.data.end());
    }
    return out;
  }

  // Rows of in_proj_qkvz by part, each part's rows of all key heads together.
  void SplitInput(const Values& qkvz, const std::string& block) {
    const int64_t r = config_.n_linear_value_heads / config_.n_linear_key_heads * config_.linear_value_dim;
    const int64_t dk = config_.linear_key_dim;
    const int64_t group = 2 * dk + 2 * r;
    const auto append = [&](Values& to, int64_t first, int64_t n) {
      to.shape = {(to.shape.empty() ? 0 : to.shape[0]) + n, config_.d_model};
      const auto begin = qkvz.data.begin() + first * config_.d_model;
      to.data.insert(to.data.end(), begin, begin + n * config_.d_model);
    };
    Values qkv, z;
    for (const auto& [offset, n] : {std::pair{int64_t{0}, dk}, std::pair{dk, dk}, std::pair{2 * dk, r}}) {
      for (int64_t h = 0; h < config_.n_linear_key_heads; ++h) append(qkv, h * group + offset, n);
    }
    for (int64_t h = 0; h < config_.n_linear_key_heads; ++h) append(z, h * group + 2 * dk + r, r);
    tensors_[block + "attn_qkv.weight"] = qkv;
    tensors_[block + "attn_gate.weight"] = z;
  }

  void AddLinear(const std::string& from, const std::string& block) {
    const Values qkvz = Read(from + "in_proj_qkvz.weight");
    if (GetParam().legacy_input) {
      tensors_[block + "ssm_in.weight"] = qkvz;
    } else {
      SplitInput(qkvz, block);
    }
    tensors_[block + "ssm_ba.weight"] = Read(from + "in_proj_ba.weight");
    Values conv = Read(from + "conv1d.weight");
    conv.shape = {conv.shape[0], conv.shape[2]};
    tensors_[block + "ssm_conv1d.weight"] = conv;
    Values rate = Read(from + "A_log");
    for (float& v : rate.data) v = -std::exp(v);
    tensors_[block + "ssm_a"] = rate;
    tensors_[block + "ssm_dt.bias"] = Read(from + "dt_bias");
    tensors_[block + "ssm_norm.weight"] = Read(from + "norm.weight");
    tensors_[block + "ssm_out.weight"] = Read(from + "out_proj.weight");
  }

  void AddAttention(const std::string& from, const std::string& block) {
    for (const char* name : {"q", "k", "v"}) {
      tensors_[fmt::format("{}attn_{}.weight", block, name)] = Read(fmt::format("{}{}_proj.weight", from, name));
    }
    tensors_[block + "attn_output.weight"] = Read(from + "o_proj.weight");
    tensors_[block + "attn_q_norm.weight"] = Norm(from + "q_norm.weight");
    tensors_[block + "attn_k_norm.weight"] = Norm(from + "k_norm.weight");
  }

  void AddMlp(const std::string& from, const std::string& block) {
    tensors_[block + "ffn_gate_inp.weight"] = Read(from + "gate.weight");
    Values gate = Read(from + "shared_expert_gate.weight");
    if (GetParam().legacy_input) gate.shape = {gate.shape[1]};  // both shapes are seen
    tensors_[block + "ffn_gate_inp_shexp.weight"] = gate;
    for (const std::string name : {"gate", "up", "down"}) {
      tensors_[block + "ffn_" + name + "_exps.weight"] = Stacked(from, name + "_proj");
      tensors_[block + "ffn_" + name + "_shexp.weight"] = Read(from + "shared_expert." + name + "_proj.weight");
    }
  }

  void AddTensors() {
    tensors_["token_embd.weight"] = Read("model.embed_tokens.weight");
    tensors_["output.weight"] = Read("lm_head.weight");
    tensors_["output_norm.weight"] = Norm("model.norm.weight");
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      AddBlock(fmt::format("model.layers.{}.", layer), layer, config_.KindOf(layer));
    }
    if (!GetParam().mtp_block) return;
    AddBlock("mtp.layers.0.", config_.n_layers, LayerKind::kFullAttention);
    const std::string block = fmt::format("blk.{}.nextn.", config_.n_layers);
    tensors_[block + "eh_proj.weight"] = Read("mtp.fc.weight");
    tensors_[block + "enorm.weight"] = Norm("mtp.pre_fc_norm_embedding.weight");
    tensors_[block + "hnorm.weight"] = Norm("mtp.pre_fc_norm_hidden.weight");
    tensors_[block + "shared_head_norm.weight"] = Norm("mtp.norm.weight");
    if (!GetParam().recurrent_layers) return;  // some files repeat these
    tensors_[block + "embed_tokens.weight"] = Read("model.embed_tokens.weight");
    tensors_[block + "shared_head_head.weight"] = Read("lm_head.weight");
  }

  void AddBlock(const std::string& from, int number, LayerKind kind) {
    const std::string block = fmt::format("blk.{}.", number);
    tensors_[block + "attn_norm.weight"] = Norm(from + "input_layernorm.weight");
    tensors_[block + "post_attention_norm.weight"] = Norm(from + "post_attention_layernorm.weight");
    if (kind == LayerKind::kGatedDeltaNet) {
      AddLinear(from + "linear_attn.", block);
    } else {
      AddAttention(from + "self_attn.", block);
    }
    AddMlp(from + "mlp.", block);
  }

  void AddKeys(Writer& out) const {
    const ModelConfig& c = config_;
    const auto u32 = [&](const char* key, int64_t value) {
      out.U32(std::string("qwen3next.") + key, static_cast<uint32_t>(value));
    };
    out.Key("general.architecture", 8);
    out.Text("qwen3next");
    u32("block_count", c.n_layers + (GetParam().mtp_block ? 1 : 0));
    if (GetParam().mtp_block) u32("nextn_predict_layers", 1);
    u32("context_length", c.context_length);
    u32("embedding_length", c.d_model);
    u32("feed_forward_length", 48);
    u32("attention.head_count", c.n_heads);
    u32("attention.key_length", c.head_dim);
    u32("attention.value_length", c.head_dim);
    u32("rope.dimension_count", c.RotaryDims());
    u32("expert_count", c.n_experts);
    u32("expert_used_count", c.n_experts_used);
    u32("expert_feed_forward_length", c.d_ff_expert);
    u32("expert_shared_feed_forward_length", c.d_ff_shared);
    u32("ssm.conv_kernel", c.conv_width);
    u32("ssm.state_size", c.linear_key_dim);
    u32("ssm.group_count", c.n_linear_key_heads);
    u32("ssm.time_step_rank", c.n_linear_value_heads);
    u32("ssm.inner_size", int64_t{c.n_linear_value_heads} * c.linear_value_dim);
    out.F32("qwen3next.attention.layer_norm_rms_epsilon", c.norm_eps);
    out.F32("qwen3next.rope.freq_base", static_cast<float>(c.rope_theta));
    if (GetParam().recurrent_layers) {
      std::vector<bool> recurrent;
      for (int layer = 0; layer < c.n_layers; ++layer) {
        recurrent.push_back(c.KindOf(layer) == LayerKind::kGatedDeltaNet);
      }
      if (GetParam().mtp_block) recurrent.push_back(false);
      out.Flags("qwen3next.attention.recurrent_layers", recurrent);
    }
    if (!GetParam().listed_heads) {
      u32("attention.head_count_kv", c.n_kv_heads);
      u32("full_attention_interval", GetParam().recurrent_layers ? 2 : 3);
      return;
    }
    std::vector<int32_t> heads;
    for (int layer = 0; layer < c.n_layers; ++layer) {
      heads.push_back(c.KindOf(layer) == LayerKind::kFullAttention ? c.n_kv_heads : 0);
    }
    if (GetParam().mtp_block) heads.push_back(c.n_kv_heads);
    out.Integers("qwen3next.attention.head_count_kv", heads);
  }

  // The model's logits, and the head's behind them when there is one.
  static std::vector<float> LogitsOf(const fs::path& path, const std::vector<TokenId>& prompt) {
    Runner runner(path);
    const auto sequence = runner.NewSequence();
    const ForwardResult result = runner.Run(*sequence, prompt, LogitsFor::kAll);
    std::vector<float> out(result.logits.begin(), result.logits.end());
    EXPECT_EQ(runner.model().has_mtp(), GetParam().mtp_block);
    if (!runner.model().has_mtp()) return out;
    const std::vector<float> hidden(result.hidden.begin(), result.hidden.end());
    const auto pool = KvPool::CreateForMtp(runner.model(), 4).value();
    const auto head = SequenceState::Create(*pool);
    EXPECT_TRUE(head->Reserve(static_cast<int>(prompt.size())).has_value());
    const auto activations = Activations::Create();
    ThreadPool threads(1);
    const MtpSegment rows{.sequence = head.get(), .tokens = prompt, .hidden = hidden, .logits = LogitsFor::kAll};
    const auto drafted = runner.model().ForwardMtp({&rows, 1}, *activations, threads).value();
    out.insert(out.end(), drafted.logits.begin(), drafted.logits.end());
    return out;
  }

  const fs::path source_, path_;
  const std::unique_ptr<const Checkpoint> checkpoint_;
  const ModelConfig& config_;
  std::map<std::string, Values> tensors_;
};

TEST_P(GgufNext, GivesTheLogitsOfTheCheckpointItWasMadeOf) {
  AddTensors();
  Writer writer;
  AddKeys(writer);
  writer.Write(path_, tensors_);
  const auto opened = Checkpoint::Open(path_);
  ASSERT_TRUE(opened.has_value()) << opened.error().ToString();
  ModelConfig expected = config_;
  EXPECT_EQ(expected.n_mtp_layers, GetParam().mtp_block ? 1 : 0);
  expected.eos_tokens.clear();
  EXPECT_EQ((*opened)->config(), expected);
  std::vector<TokenId> prompt = GoldenCase("qwen3_next_untied").prompts()[1];
  for (TokenId& id : prompt) id %= config_.vocab;
  // The same f32 numbers reach the same kernels: 1 + w and -exp(A_log) are computed here as they are there.
  EXPECT_EQ(LogitsOf(path_, prompt), LogitsOf(source_, prompt));
}

TEST_P(GgufNext, AnIncompleteHeadIsRefusedByTheNameOfWhatIsMissing) {
  if (!GetParam().mtp_block) return;
  AddTensors();
  ASSERT_EQ(tensors_.erase(fmt::format("blk.{}.nextn.eh_proj.weight", config_.n_layers)), 1U);
  Writer writer;
  AddKeys(writer);
  writer.Write(path_, tensors_);
  const auto model = Model::Load(path_);
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code(), Code::kCorrupt);
  EXPECT_NE(model.error().message().find("the multi-token prediction head"), std::string::npos);
  EXPECT_NE(model.error().message().find("\"mtp.fc.weight\" is missing"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(All, GgufNext, testing::ValuesIn(kForms), [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace quern::model
