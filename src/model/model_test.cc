// Loading (what is missing, misshapen or too much) and the checks at Forward's door.
#include "model/model.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "model/golden_case.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;
using Tensors = std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>>;

class ModelLoad : public testing::Test {
 protected:
  ModelLoad() : folder_(fs::temp_directory_path() / fmt::format("quern_model_test_{}", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~ModelLoad() override { fs::remove_all(folder_); }

  // A one-layer qwen3_moe without content, as it ought to be.
  static Tensors Complete() {
    const auto add = [](Tensors& all, const std::string& name, std::vector<int64_t> shape) {
      size_t n = 1;
      for (const int64_t dim : shape) n *= static_cast<size_t>(dim);
      all[name] = {std::move(shape), std::vector<float>(n, 0.1F)};
    };
    Tensors all;
    add(all, "model.embed_tokens.weight", {64, 16});
    add(all, "lm_head.weight", {64, 16});
    add(all, "model.norm.weight", {16});
    const std::string p = "model.layers.0.";
    add(all, p + "input_layernorm.weight", {16});
    add(all, p + "post_attention_layernorm.weight", {16});
    add(all, p + "self_attn.q_proj.weight", {16, 16});
    add(all, p + "self_attn.k_proj.weight", {8, 16});
    add(all, p + "self_attn.v_proj.weight", {8, 16});
    add(all, p + "self_attn.o_proj.weight", {16, 16});
    add(all, p + "self_attn.q_norm.weight", {8});
    add(all, p + "self_attn.k_norm.weight", {8});
    add(all, p + "mlp.gate.weight", {2, 16});
    for (int e = 0; e < 2; ++e) {
      const std::string q = fmt::format("{}mlp.experts.{}.", p, e);
      add(all, q + "gate_proj.weight", {12, 16});
      add(all, q + "up_proj.weight", {12, 16});
      add(all, q + "down_proj.weight", {16, 12});
    }
    return all;
  }

  Result<std::unique_ptr<Model>> Load(const Tensors& tensors, const std::string& config_change = "") {
    std::ofstream(folder_ / "config.json") << R"({"architectures":["Qwen3MoeForCausalLM"],"model_type":"qwen3_moe",
      "hidden_size":16,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":8,
      "intermediate_size":24,"moe_intermediate_size":12,"num_experts":2,"num_experts_per_tok":1,"vocab_size":64,
      "max_position_embeddings":128,"rms_norm_eps":1e-6,"rope_theta":10000.0,"norm_topk_prob":true,
      "tie_word_embeddings":)" << (config_change.empty() ? "false" : config_change)
                                           << "}";
    WriteSafetensors(folder_ / "model.safetensors", tensors);
    return Model::Load(folder_);
  }

  void ExpectError(const Tensors& tensors, Code code, const std::string& what) {
    const auto model = Load(tensors);
    ASSERT_FALSE(model.has_value()) << what;
    EXPECT_EQ(model.error().code(), code) << model.error().ToString();
    EXPECT_NE(model.error().message().find(what), std::string::npos) << model.error().ToString();
  }

  fs::path folder_;
};

TEST_F(ModelLoad, TakesACompleteCheckpoint) {
  const auto model = Load(Complete());
  ASSERT_TRUE(model.has_value()) << model.error().ToString();
  int64_t n_parameters = 0;
  uint64_t n_bytes = 0;
  for (const TensorClassInfo& info : (*model)->DescribeTensors()) {
    EXPECT_EQ(info.types, "f32");
    n_parameters += info.n_parameters;
    n_bytes += info.n_bytes;
  }
  EXPECT_EQ(n_parameters, (*model)->config().CountParameters());
  EXPECT_EQ(n_bytes, static_cast<uint64_t>(n_parameters) * 4);
  EXPECT_GE((*model)->weight_bytes(), n_bytes);  // packed groups of rows may be filled up
}

TEST_F(ModelLoad, NamesEachMissingTensor) {
  for (const auto& [name, tensor] : Complete()) {
    Tensors all = Complete();
    all.erase(name);
    ExpectError(all, Code::kCorrupt, name);
  }
}

TEST_F(ModelLoad, NamesEachMisshapenTensor) {
  for (const auto& [name, tensor] : Complete()) {
    Tensors all = Complete();
    all[name].first[0] += 1;
    size_t n = 1;
    for (const int64_t dim : all[name].first) n *= static_cast<size_t>(dim);
    all[name].second.resize(n);
    ExpectError(all, Code::kCorrupt, name);
  }
}

TEST_F(ModelLoad, NamesWhatItHasNoPlaceFor) {
  Tensors all = Complete();
  all["model.layers.0.self_attn.q_proj.bias"] = {{16}, std::vector<float>(16)};
  ExpectError(all, Code::kCorrupt, "has no place for: \"model.layers.0.self_attn.q_proj.bias\"");
  all = Complete();
  all["model.layers.1.input_layernorm.weight"] = {{16}, std::vector<float>(16)};
  ExpectError(all, Code::kCorrupt, "\"model.layers.1.input_layernorm.weight\"");
}

TEST_F(ModelLoad, LeavesOutWhatInferenceDoesNotNeed) {
  Tensors all = Complete();
  all["mtp.fc.weight"] = {{16, 32}, std::vector<float>(512)};
  all["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{4}, std::vector<float>(4)};
  const auto model = Load(all, "true");  // tied, and a copy of lm_head is there
  EXPECT_TRUE(model.has_value()) << model.error().ToString();
}

TEST_F(ModelLoad, ReportsProgressUpToTheTotal) {
  ASSERT_TRUE(Load(Complete()).has_value());
  uint64_t last = 0, total = 0;
  const LoadOptions options{.progress = [&](uint64_t done, uint64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
  }};
  ASSERT_TRUE(Model::Load(folder_, options).has_value());
  EXPECT_GT(total, 0U);
  EXPECT_EQ(last, total);
}

class ForwardChecks : public testing::Test {
 protected:
  ForwardChecks() : runner_(GoldenCase("qwen3_yarn").folder() / "f32") {}

  // The error of Forward; checks that it changed nothing.
  std::string ErrorOf(std::span<const Segment> segments) {
    std::vector<int> before;
    for (const Segment& s : segments) before.push_back(s.sequence->n_tokens());
    const auto activations = Activations::Create();
    ThreadPool threads(1);
    const auto result = runner_.model().Forward(segments, *activations, threads);
    for (size_t i = 0; i < segments.size(); ++i) EXPECT_EQ(segments[i].sequence->n_tokens(), before[i]);
    if (result.has_value()) return "no error";
    EXPECT_EQ(result.error().code(), Code::kInvalidArgument);
    return result.error().message();
  }

  Runner runner_;
};

TEST_F(ForwardChecks, NameWhatIsWrong) {
  const auto a = runner_.NewSequence();
  const auto b = runner_.NewSequence();
  ASSERT_TRUE(a->Reserve(300).has_value());
  ASSERT_TRUE(b->Reserve(8).has_value());
  const std::vector<TokenId> good{1, 2, 3};
  const std::vector<TokenId> high{1, 288};
  const std::vector<TokenId> negative{-1};
  const std::vector<TokenId> long_prompt(257, 1);
  const std::vector<TokenId> unreserved(33, 1);
  EXPECT_EQ(ErrorOf({}), "forward: no segments");
  EXPECT_EQ(ErrorOf(std::vector<Segment>{{a.get(), good}, {b.get(), {}}}), "forward: segment 1 is empty");
  EXPECT_EQ(ErrorOf(std::vector<Segment>{{a.get(), good}, {a.get(), good}}),
            "forward: segments 0 and 1 name one sequence");
  EXPECT_EQ(ErrorOf(std::vector<Segment>{{a.get(), high}}), "forward: token id 288, expected 0 to 287");
  EXPECT_EQ(ErrorOf(std::vector<Segment>{{a.get(), negative}}), "forward: token id -1, expected 0 to 287");
  EXPECT_EQ(ErrorOf(std::vector<Segment>{{a.get(), long_prompt}}),
            "forward: segment 0 reaches position 257, the context holds 256");
  EXPECT_EQ(ErrorOf(std::vector<Segment>{{b.get(), unreserved}}),
            "forward: segment 0 reaches position 33, 32 are reserved");
  EXPECT_EQ(runner_.Run(std::vector<Segment>{{a.get(), good}, {b.get(), good}}).n_rows, 2);
  EXPECT_EQ(a->n_tokens(), 3);
}

}  // namespace
}  // namespace quern::model
