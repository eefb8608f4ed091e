// Our readers against files that the formats' usual Python packages wrote (tools/golden/formats.py).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/json.hpp>
#include <fstream>
#include <map>
#include <sstream>

#include "base/os/mapped_file.h"
#include "model/checkpoint.h"
#include "model/gguf.h"
#include "model/safetensors.h"

namespace quern::model {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

const fs::path kGoldens = "tests/golden/formats";

json::array Expected(const std::string& file) {
  std::ifstream stream(kGoldens / "expected.json");
  std::stringstream text;
  text << stream.rdbuf();
  return json::parse(text.str()).at(file).as_array();
}

std::string Fnv1a(std::span<const std::byte> bytes) {
  uint64_t value = 0xCBF29CE484222325U;
  for (const std::byte byte : bytes) value = (value ^ static_cast<uint64_t>(byte)) * 0x100000001B3U;
  return fmt::format("{:016x}", value);
}

void ExpectTensor(const StoredTensor& tensor, const json::value& row) {
  SCOPED_TRACE(tensor.name);
  EXPECT_EQ(Info(tensor.dtype).name, std::string_view(row.at("dtype").as_string()));
  EXPECT_EQ(tensor.shape, json::value_to<std::vector<int64_t>>(row.at("shape")));
  EXPECT_EQ(Fnv1a(tensor.bytes), std::string_view(row.at("fnv1a").as_string()));
}

TEST(SafetensorsGolden, ReadsWhatThePackageWrote) {
  const auto mapped = os::MappedFile::Open(kGoldens / "types.safetensors");
  ASSERT_TRUE(mapped.has_value()) << mapped.error().ToString();
  const auto file = ParseSafetensors((*mapped)->bytes(), "types.safetensors");
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  EXPECT_EQ(file->metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"note", "Größe"}}));
  const json::array expected = Expected("types.safetensors");
  EXPECT_EQ(file->tensors.size(), expected.size());
  for (const json::value& row : expected) {
    const auto tensor = std::find_if(file->tensors.begin(), file->tensors.end(), [&](const StoredTensor& candidate) {
      return candidate.name == std::string_view(row.at("name").as_string());
    });
    ASSERT_NE(tensor, file->tensors.end()) << row;
    ExpectTensor(*tensor, row);
  }
}

TEST(GgufGolden, ReadsEveryTensorType) {
  const auto mapped = os::MappedFile::Open(kGoldens / "types.gguf");
  ASSERT_TRUE(mapped.has_value()) << mapped.error().ToString();
  const auto file = GgufFile::Parse((*mapped)->bytes(), "types.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  EXPECT_EQ(file->version(), 3U);
  const json::array expected = Expected("types.gguf");
  EXPECT_EQ(file->tensors().size(), expected.size());
  for (const json::value& row : expected) {
    const StoredTensor* tensor = file->FindTensor(std::string_view(row.at("name").as_string()));
    ASSERT_NE(tensor, nullptr) << row;
    ExpectTensor(*tensor, row);
  }
}

TEST(GgufGolden, ReadsEveryValueType) {
  const auto mapped = os::MappedFile::Open(kGoldens / "types.gguf");
  ASSERT_TRUE(mapped.has_value()) << mapped.error().ToString();
  const auto file = GgufFile::Parse((*mapped)->bytes(), "types.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  for (const std::string type : {"u8", "u16", "u32", "u64"}) EXPECT_EQ(*file->Integer("value." + type), 100) << type;
  for (const std::string type : {"i8", "i16", "i32", "i64"}) EXPECT_EQ(*file->Integer("value." + type), -100) << type;
  EXPECT_EQ(*file->Number("value.f32"), 0.5);
  EXPECT_EQ(*file->Number("value.f64"), 0.25);
  EXPECT_EQ(*file->Number("value.i16"), -100.0);
  EXPECT_EQ(*file->Bool("value.bool"), true);
  EXPECT_EQ(*file->String("value.string"), "Größe");
  EXPECT_EQ(*file->Integers("value.ints"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(*file->Strings("value.strings"), (std::vector<std::string_view>{"a", "", "ßß"}));
}

// One set of weights, four ways to store it: the same names, shapes and bytes must come out.
class SameWeights : public testing::TestWithParam<const char*> {};

TEST_P(SameWeights, ComeOutUnderOneNaming) {
  const auto checkpoint = Checkpoint::Open(kGoldens / GetParam());
  ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().ToString();
  const json::array expected = Expected("moe");
  EXPECT_EQ((*checkpoint)->tensors().size(), expected.size());
  uint64_t n_bytes = 0;
  for (const json::value& row : expected) {
    const auto shape = json::value_to<std::vector<int64_t>>(row.at("shape"));
    const auto tensor = (*checkpoint)->Get(std::string_view(row.at("name").as_string()), shape);
    ASSERT_TRUE(tensor.has_value()) << tensor.error().ToString();
    ExpectTensor(**tensor, row);
    n_bytes += (*tensor)->bytes.size();
  }
  EXPECT_EQ((*checkpoint)->n_bytes(), n_bytes);
}

TEST_P(SameWeights, ComeWithTheSameNumbers) {
  const auto checkpoint = Checkpoint::Open(kGoldens / GetParam());
  ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().ToString();
  ModelConfig expected;
  expected.architecture = Architecture::kQwen3Moe;
  expected.d_model = 16;
  expected.n_layers = 2;
  expected.n_heads = 2;
  expected.n_kv_heads = 1;
  expected.head_dim = 8;
  expected.d_ff = 0;
  expected.vocab = 40;
  expected.context_length = 256;
  expected.norm_eps = 1e-6F;
  expected.rope_theta = 1e7;
  expected.qk_norm = true;
  expected.n_experts = 4;
  expected.n_experts_used = 2;
  expected.d_ff_expert = 8;
  expected.eos_tokens = {3};
  EXPECT_EQ((*checkpoint)->config(), expected);
  EXPECT_EQ((*checkpoint)->generation(), (GenerationConfig{.temperature = 0.7F, .top_k = 20, .eos_tokens = {3, 5}}));
}

INSTANTIATE_TEST_SUITE_P(Formats, SameWeights, testing::Values("moe", "moe.gguf", "moe-split-00001-of-00003.gguf"));

TEST(GgufGolden, HandsTheTokenizerItsTables) {
  const auto checkpoint = Checkpoint::Open(kGoldens / "moe.gguf");
  ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().ToString();
  ASSERT_NE((*checkpoint)->gguf(), nullptr);
  const auto tokenizer = ReadGgufTokenizer(*(*checkpoint)->gguf());
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().ToString();
  EXPECT_EQ(tokenizer->model, "gpt2");
  EXPECT_EQ(tokenizer->pre, "qwen2");
  ASSERT_EQ(tokenizer->tokens.size(), 40U);
  EXPECT_EQ(tokenizer->tokens[39], "t39");
  EXPECT_EQ(tokenizer->token_types[38], 3);
  EXPECT_EQ(tokenizer->token_types[39], 4);
  EXPECT_EQ(tokenizer->merges, (std::vector<std::string_view>{"t 1", "t 2"}));
  EXPECT_EQ(tokenizer->eos, 3);
  EXPECT_EQ(tokenizer->eot, 5);
  EXPECT_EQ(tokenizer->padding, 0);
  EXPECT_EQ(tokenizer->bos, std::nullopt);
  EXPECT_FALSE(tokenizer->add_bos);
  EXPECT_EQ(tokenizer->chat_template, "{{ messages }}");
}

TEST(GgufGolden, SaysWhichPartComesFirst) {
  const auto checkpoint = Checkpoint::Open(kGoldens / "moe-split-00002-of-00003.gguf");
  ASSERT_FALSE(checkpoint.has_value());
  EXPECT_EQ(checkpoint.error().ToString(),
            "invalid_argument: tests/golden/formats/moe-split-00002-of-00003.gguf: this is part 2 of 3, name the first "
            "one: moe-split-00001-of-00003.gguf");
}

TEST(Checkpoint, NamesAMissingTensorAndAWrongShape) {
  const auto checkpoint = Checkpoint::Open(kGoldens / "moe.gguf");
  ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().ToString();
  const std::array<int64_t, 2> shape = {3, 4};
  EXPECT_EQ((*checkpoint)->Get("nothing", shape).error().ToString(),
            "corrupt: tests/golden/formats/moe.gguf: tensor \"nothing\" is missing, expected shape [3, 4]");
  EXPECT_EQ((*checkpoint)->Get("lm_head.weight", shape).error().ToString(),
            "corrupt: tests/golden/formats/moe.gguf: tensor \"lm_head.weight\": expected shape [3, 4], got [40, 16]");
}

}  // namespace
}  // namespace quern::model
