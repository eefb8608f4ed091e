// Checkpoints written as GGUF say the same as their source, to our own reader; tests/interop asks another program.
#include "model/gguf_quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>

#include "model/golden_case.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

fs::path Temp(const std::string& name) { return fs::path(testing::TempDir()) / ("quern_quantize_" + name); }

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::shared_ptr<const Checkpoint> Opened(const fs::path& path) {
  auto opened = Checkpoint::Open(path);
  EXPECT_TRUE(opened.has_value()) << (opened.has_value() ? "" : opened.error().ToString());
  return opened.has_value() ? std::move(*opened) : nullptr;
}

Result<QuantizeReport> Write(const fs::path& from, const fs::path& to, Recipe recipe, int n_threads = 2,
                             const ImportanceMatrix* importance = nullptr) {
  ThreadPool pool(n_threads);
  const auto checkpoint = Opened(from);
  return WriteQuantized(*checkpoint, to, {.recipe = recipe, .importance = importance}, pool);
}

std::vector<float> Logits(const fs::path& path, std::span<const TokenId> tokens) {
  Runner runner(path);
  const auto sequence = runner.NewSequence();
  const ForwardResult result = runner.Run(*sequence, tokens, LogitsFor::kAll);
  return {result.logits.begin(), result.logits.end()};
}

const std::vector<TokenId> kTokens = {3, 141, 59, 26, 53, 58, 97, 93, 23, 84, 62, 64, 33, 83, 27, 95};

struct Written {
  const char* golden;
  const char* type;
  Recipe recipe;
};

// Nothing is rounded on the way: not one bit of the logits may change.
TEST(WriteQuantized, WithoutRoundingTheModelIsTheSame) {
  for (const auto& [golden, type, recipe] :
       {Written{"qwen2_untied", "f32", Recipe::kF32}, Written{"qwen2_untied", "bf16", Recipe::kBF16},
        Written{"qwen3_tied", "f32", Recipe::kF32}, Written{"qwen3_tied", "bf16", Recipe::kBF16},
        Written{"qwen3_yarn", "f32", Recipe::kF32}, Written{"qwen3_moe_untied", "f32", Recipe::kF32},
        Written{"qwen3_moe_untied", "bf16", Recipe::kBF16}, Written{"qwen3_next_untied", "f32", Recipe::kF32},
        Written{"qwen3_next_untied", "bf16", Recipe::kBF16}}) {
    const fs::path from = GoldenFolder() / golden / type;
    const fs::path to = Temp(std::string(golden) + ".gguf");
    const auto report = Write(from, to, recipe);
    ASSERT_TRUE(report.has_value()) << report.error().ToString();
    EXPECT_TRUE(report->left_out.empty());
    const auto source = Opened(from);
    const auto written = Opened(to);
    ModelConfig config = written->config();
    config.eos_tokens = source->config().eos_tokens;  // a file without a tokenizer has no ids
    EXPECT_EQ(config, source->config()) << golden;
    EXPECT_EQ(Logits(from, kTokens), Logits(to, kTokens)) << golden << " " << type;
    // Written again from itself it stays as it is.
    ASSERT_TRUE(Write(to, Temp("again.gguf"), recipe).has_value());
    EXPECT_EQ(Logits(to, kTokens), Logits(Temp("again.gguf"), kTokens)) << golden;
  }
}

// Not the same bits: what the source keeps in bf16 (its head) is multiplied with activations rounded to bf16, 2^-9 of
// each; in the f32 file nothing is.
TEST(WriteQuantized, Fp8BecomesWhatItsScalesSay) {
  for (const char* name : {"qwen3", "qwen3_moe", "qwen3_next"}) {
    const fs::path from = fs::path("tests/golden/fp8") / name / "fp8";
    const auto report = Write(from, Temp("fp8.gguf"), Recipe::kF32);
    ASSERT_TRUE(report.has_value()) << report.error().ToString();
    EXPECT_TRUE(report->left_out.empty()) << report->left_out.front();
    const auto source = Logits(from, kTokens);
    const auto written = Logits(Temp("fp8.gguf"), kTokens);
    ASSERT_EQ(source.size(), written.size());
    float largest = 0;
    for (const float v : source) largest = std::max(largest, std::fabs(v));
    for (size_t i = 0; i < source.size(); ++i)
      ASSERT_NEAR(source[i], written[i], 1.0F / 256 * largest) << name << " " << i;
  }
}

TEST(WriteQuantized, GgufFilesOfOthersComeThroughWithTheirKeys) {
  const fs::path from = GgufFolder() / "qwen3moe_q4_0.gguf";
  ASSERT_TRUE(Write(from, Temp("others.gguf"), Recipe::kF32).has_value());
  const auto source = Opened(from);
  const auto written = Opened(Temp("others.gguf"));
  EXPECT_EQ(written->config(), source->config());
  for (const std::string_view key : source->gguf()->Keys()) {
    if (key == "general.file_type" || key == "general.alignment" || key == "general.quantization_version") continue;
    EXPECT_EQ(source->gguf()->EncodedValue(key), written->gguf()->EncodedValue(key)) << key;
  }
}

TEST(WriteQuantized, BytesDoNotDependOnThreads) {
  for (const Recipe recipe : {Recipe::kQ8_0, Recipe::kQ4KM, Recipe::kQ4_0, Recipe::kIQ4NL, Recipe::kQ2K}) {
    ASSERT_TRUE(Write("models/demo", Temp("one"), recipe, 1).has_value());
    ASSERT_TRUE(Write("models/demo", Temp("five"), recipe, 5).has_value());
    EXPECT_EQ(ReadAll(Temp("one")), ReadAll(Temp("five"))) << RecipeName(recipe);
  }
}

// Mean KL divergence from the source over the positions of a text, in nats.
double MeanKl(const std::vector<float>& p_logits, const std::vector<float>& q_logits, size_t vocab) {
  double total = 0;
  const size_t n_rows = p_logits.size() / vocab;
  for (size_t row = 0; row < n_rows; ++row) {
    const auto log_sum = [&](const std::vector<float>& logits) {
      double sum = 0;
      for (size_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[row * vocab + i]));
      return std::log(sum);
    };
    const double p_sum = log_sum(p_logits);
    const double q_sum = log_sum(q_logits);
    for (size_t i = 0; i < vocab; ++i) {
      const double p = static_cast<double>(p_logits[row * vocab + i]) - p_sum;
      const double q = static_cast<double>(q_logits[row * vocab + i]) - q_sum;
      total += std::exp(p) * (p - q);
    }
  }
  return total / static_cast<double>(n_rows);
}

// Between q8_0 and q6_k the rounding of activations, not of weights, decides: those are not compared.
TEST(WriteQuantized, FewerBitsTakeLessSpaceAndLoseMore) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < 48; ++i) tokens.push_back(300 + 111 * i);
  const auto source = Logits("models/demo", tokens);
  const size_t vocab = source.size() / tokens.size();
  std::map<Recipe, double> kl;
  uint64_t last_bytes = std::numeric_limits<uint64_t>::max();
  for (const Recipe recipe : {Recipe::kQ8_0, Recipe::kQ6K, Recipe::kQ5KM, Recipe::kQ5KS, Recipe::kQ4KM, Recipe::kQ4KS,
                              Recipe::kQ3KM, Recipe::kQ3KS, Recipe::kQ2K}) {
    const auto report = Write("models/demo", Temp("bits.gguf"), recipe);
    ASSERT_TRUE(report.has_value()) << report.error().ToString();
    EXPECT_LT(report->n_bytes, last_bytes) << RecipeName(recipe);
    last_bytes = report->n_bytes;
    kl[recipe] = MeanKl(source, Logits(Temp("bits.gguf"), tokens), vocab);
  }
  EXPECT_LT(kl[Recipe::kQ8_0], 0.05);
  EXPECT_LT(kl[Recipe::kQ6K], kl[Recipe::kQ5KS]);
  EXPECT_LT(kl[Recipe::kQ5KM], kl[Recipe::kQ4KM]);
  EXPECT_LT(kl[Recipe::kQ4KS], kl[Recipe::kQ3KM]);
  EXPECT_LT(kl[Recipe::kQ3KM], kl[Recipe::kQ3KS]);
  EXPECT_LT(kl[Recipe::kQ3KS], kl[Recipe::kQ2K]);
  EXPECT_LT(kl[Recipe::kQ4KS], 1.0);
}

// What a plan counts is what a loaded model takes, to the byte, types included that become others.
TEST(WeightBytes, AreToldBeforeLoading) {
  std::vector<fs::path> paths = {"tests/golden/mtp/f32"};
  for (const std::string& name : GoldenCaseNames()) paths.push_back(GoldenCase(name).published());
  for (const auto& entry : fs::directory_iterator(GgufFolder())) {
    if (entry.path().extension() == ".gguf") paths.push_back(entry.path());
  }
  for (const Recipe recipe : {Recipe::kIQ4NL, Recipe::kQ3KS, Recipe::kQ2K}) {
    paths.push_back(Temp(std::string(RecipeName(recipe)) + ".gguf"));
    ASSERT_TRUE(Write(GgufFolder() / "qwen2_q4_k.gguf", paths.back(), recipe).has_value());
  }
  for (const fs::path& path : paths) {
    const auto checkpoint = Opened(path);
    const auto loaded = Model::Load(path);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().ToString();
    EXPECT_EQ((*loaded)->weight_bytes(), WeightBytesOf(*checkpoint)) << path;
  }
  // As f16 in memory, six times what the file holds: to plan by the file would be to run out of memory.
  const auto smallest = Opened(paths.back());
  EXPECT_GT(WeightBytesOf(*smallest), 3 * smallest->n_bytes());
}

TEST(WriteQuantized, RefusesWhatGgufCannotSay) {
  const auto mixed = Write(GoldenFolder() / "qwen3_moe_tied" / "f32", Temp("no.gguf"), Recipe::kF32);
  ASSERT_FALSE(mixed.has_value());
  EXPECT_EQ(mixed.error().code(), Code::kUnsupported);
  EXPECT_NE(mixed.error().message().find("has no experts while others have"), std::string::npos);
  EXPECT_FALSE(fs::exists(Temp("no.gguf")));
}

TEST(WriteQuantized, NeverWritesOverItsSource) {
  fs::copy_file(GgufFolder() / "qwen2_bf16.gguf", Temp("same.gguf"), fs::copy_options::overwrite_existing);
  const auto report = Write(Temp("same.gguf"), Temp("same.gguf"), Recipe::kQ8_0);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), Code::kInvalidArgument);
}

// A qwen2 checkpoint whose embedding holds one value in row 5, column 7.
fs::path WithValue(float value) {
  const fs::path folder = Temp("value");
  WidenCheckpoint(GoldenFolder() / "qwen2_untied" / "f32", folder);
  std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>> tensors;
  {
    const auto checkpoint = Opened(folder);
    for (const StoredTensor& tensor : checkpoint->tensors()) {
      std::vector<float> values(static_cast<size_t>(tensor.n_elements()));
      std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
      if (tensor.name == "model.embed_tokens.weight") values[5 * static_cast<size_t>(tensor.shape[1]) + 7] = value;
      tensors[tensor.name] = {tensor.shape, std::move(values)};
    }
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().string().find(".safetensors") != std::string::npos) fs::remove(entry.path());
  }
  WriteSafetensors(folder / "model.safetensors", tensors);
  return folder;
}

TEST(WriteQuantized, DamagedAndUnstorableWeightsAreNamed) {
  const auto message = [](float value, Recipe recipe) {
    const auto report = Write(WithValue(value), Temp("bad.gguf"), recipe);
    return report.has_value() ? std::string() : report.error().message();
  };
  const std::string nan = message(std::numeric_limits<float>::quiet_NaN(), Recipe::kQ8_0);
  EXPECT_NE(nan.find("\"model.embed_tokens.weight\": row 5, column 7 is nan: the checkpoint is damaged"),
            std::string::npos)
      << nan;
  const std::string large = message(1e6F, Recipe::kF16);
  EXPECT_NE(large.find("too large for f16"), std::string::npos) << large;
  EXPECT_EQ(message(1e6F, Recipe::kBF16), "");
}

TEST(WriteQuantized, ImportanceChangesTheFileAndMustFit) {
  ImportanceMatrix importance;
  std::vector<float> squares(256, 1.0F);
  for (size_t i = 0; i < squares.size(); i += 3) squares[i] = 50;
  importance.Set("blk.0.attn_q.weight", {.n_experts = 1, .mean_squares = squares});
  const auto report = Write("models/demo", Temp("with"), Recipe::kQ4KM, 2, &importance);
  ASSERT_TRUE(report.has_value()) << report.error().ToString();
  EXPECT_FALSE(report->no_importance.empty());
  ASSERT_TRUE(Write("models/demo", Temp("without"), Recipe::kQ4KM).has_value());
  EXPECT_NE(ReadAll(Temp("with")), ReadAll(Temp("without")));
  squares.pop_back();
  importance.Set("blk.0.attn_q.weight", {.n_experts = 1, .mean_squares = squares});
  const auto other = Write("models/demo", Temp("with"), Recipe::kQ4KM, 2, &importance);
  ASSERT_FALSE(other.has_value());
  EXPECT_NE(other.error().message().find("of another model"), std::string::npos);
}

TEST(QuantizeRecipe, MixturesAreAsPublishedFilesHaveThem) {
  const auto type = [](Recipe recipe, const char* name, int64_t cols = 2048, bool tied = false) {
    return Info(TypeFor(recipe, name, 2, cols, 48, tied)).name;
  };
  EXPECT_EQ(type(Recipe::kQ4KM, "output.weight"), "q6_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "token_embd.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "token_embd.weight", 2048, true), "q6_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.0.attn_v.weight"), "q6_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.5.ffn_down_exps.weight"), "q6_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.6.ffn_down_exps.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.7.ffn_down_exps.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.8.ffn_down_exps.weight"), "q6_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.42.ffn_down.weight"), "q6_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.0.attn_q.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.0.attn_qkv.weight"), "q5_k");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.0.ssm_ba.weight"), "q8_0");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.0.ffn_gate_inp.weight"), "f32");
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.0.ssm_conv1d.weight"), "f32");
  EXPECT_EQ(type(Recipe::kQ4KS, "blk.0.attn_v.weight"), "q5_k");
  EXPECT_EQ(type(Recipe::kQ4KS, "blk.20.attn_v.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ5KS, "blk.0.attn_v.weight"), "q5_k");
  EXPECT_EQ(type(Recipe::kQ5KM, "blk.0.attn_v.weight"), "q6_k");
  EXPECT_EQ(type(Recipe::kIQ4NL, "output.weight"), "q6_k");
  EXPECT_EQ(type(Recipe::kIQ4NL, "blk.20.attn_v.weight"), "q5_k");
  EXPECT_EQ(type(Recipe::kIQ4NL, "blk.5.ffn_down_exps.weight"), "q5_k");
  EXPECT_EQ(type(Recipe::kIQ4NL, "blk.6.ffn_down_exps.weight"), "iq4_nl");
  EXPECT_EQ(type(Recipe::kQ3KL, "blk.40.ffn_down.weight"), "q5_k");
  EXPECT_EQ(type(Recipe::kQ3KL, "blk.40.attn_output.weight"), "q5_k");
  EXPECT_EQ(type(Recipe::kQ3KL, "blk.40.attn_qkv.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ3KL, "blk.40.ffn_up.weight"), "q3_k");
  EXPECT_EQ(type(Recipe::kQ3KM, "blk.2.attn_v.weight"), "q5_k");
  EXPECT_EQ(type(Recipe::kQ3KM, "blk.3.attn_v.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ3KM, "blk.40.attn_output.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ3KS, "blk.0.attn_v.weight"), "q3_k");
  EXPECT_EQ(type(Recipe::kQ3KS, "output.weight"), "q6_k");
  EXPECT_EQ(type(Recipe::kQ2K, "blk.0.attn_v.weight"), "q4_k");
  EXPECT_EQ(type(Recipe::kQ2K, "blk.0.ffn_down_exps.weight"), "q3_k");
  EXPECT_EQ(type(Recipe::kQ2K, "blk.0.attn_output.weight"), "q3_k");
  EXPECT_EQ(type(Recipe::kQ2K, "blk.0.ffn_gate_exps.weight"), "q2_k");
  EXPECT_EQ(type(Recipe::kQ2K, "blk.0.ssm_ba.weight"), "q8_0");
  EXPECT_EQ(type(Recipe::kQ8_0, "output.weight"), "q8_0");
  EXPECT_EQ(type(Recipe::kBF16, "output.weight"), "bf16");
  EXPECT_EQ(type(Recipe::kBF16, "blk.0.ffn_gate_inp.weight"), "f32");
  // Rows that are no whole blocks.
  EXPECT_EQ(type(Recipe::kQ4KM, "blk.0.attn_q.weight", 224), "q5_0");
  EXPECT_EQ(type(Recipe::kQ6K, "blk.0.attn_q.weight", 224), "q8_0");
  EXPECT_EQ(type(Recipe::kQ2K, "blk.0.attn_q.weight", 224), "iq4_nl");
  EXPECT_EQ(type(Recipe::kQ4_0, "blk.0.attn_q.weight", 40), "f16");
  EXPECT_EQ(ParseRecipe("Q4_K_M"), Recipe::kQ4KM);
  EXPECT_EQ(ParseRecipe("q4_k"), Recipe::kQ4KM);
  EXPECT_EQ(ParseRecipe("q3_k"), Recipe::kQ3KM);
  EXPECT_EQ(ParseRecipe("q4"), std::nullopt);
}

}  // namespace
}  // namespace quern::model
