#include "model/gguf.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <random>

#include "model/checkpoint.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

// ---- a small writer ----

template <typename T>
std::string Raw(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}
std::string Text(std::string_view text) { return Raw(uint64_t{text.size()}) + std::string(text); }
std::string Key(std::string_view key, GgufType type, const std::string& value) {
  return Text(key) + Raw(static_cast<uint32_t>(type)) + value;
}
std::string U32(std::string_view key, uint32_t value) { return Key(key, GgufType::kU32, Raw(value)); }
std::string F32(std::string_view key, float value) { return Key(key, GgufType::kF32, Raw(value)); }
std::string Str(std::string_view key, std::string_view value) { return Key(key, GgufType::kString, Text(value)); }
std::string Array(std::string_view key, GgufType type, const std::vector<std::string>& items) {
  std::string out = Raw(static_cast<uint32_t>(type)) + Raw(uint64_t{items.size()});
  for (const std::string& item : items) out += item;
  return Key(key, GgufType::kArray, out);
}

struct TensorSpec {
  std::string name;
  std::vector<int64_t> ne;  // innermost first
  uint32_t type = 0;
  uint64_t offset = 0;
};

struct FileSpec {
  uint32_t version = 3;
  std::vector<std::string> keys;
  std::vector<TensorSpec> tensors;
  size_t n_data = 0;
  size_t alignment = 32;

  std::string Bytes() const {
    std::string out = "GGUF" + Raw(version) + Raw(uint64_t{tensors.size()}) + Raw(uint64_t{keys.size()});
    for (const std::string& key : keys) out += key;
    for (const TensorSpec& tensor : tensors) {
      out += Text(tensor.name) + Raw(static_cast<uint32_t>(tensor.ne.size()));
      for (const int64_t dim : tensor.ne) out += Raw(dim);
      out += Raw(tensor.type) + Raw(tensor.offset);
    }
    if (!tensors.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment);
    for (size_t i = 0; i < n_data; ++i) out += static_cast<char>(i);
    return out;
  }
};

Result<GgufFile> Parse(const std::string& bytes) {
  return GgufFile::Parse(std::as_bytes(std::span(bytes.data(), bytes.size())), "f");
}

template <typename T>
std::string TextOf(const Result<T>& result) {
  return result.has_value() ? "no error" : result.error().ToString();
}

// A qwen3moe header; edits replace keys by name or remove them when empty.
std::vector<std::string> MoeKeys() {
  return {Str("general.architecture", "qwen3moe"),
          U32("qwen3moe.block_count", 1),
          U32("qwen3moe.context_length", 64),
          U32("qwen3moe.embedding_length", 4),
          U32("qwen3moe.feed_forward_length", 8),
          U32("qwen3moe.attention.head_count", 4),
          U32("qwen3moe.attention.head_count_kv", 2),
          U32("qwen3moe.attention.key_length", 6),
          U32("qwen3moe.attention.value_length", 6),
          F32("qwen3moe.attention.layer_norm_rms_epsilon", 1e-5F),
          F32("qwen3moe.rope.freq_base", 1e7F),
          U32("qwen3moe.expert_count", 4),
          U32("qwen3moe.expert_used_count", 2),
          U32("qwen3moe.expert_feed_forward_length", 3),
          U32("qwen3moe.expert_shared_feed_forward_length", 0),
          Str("tokenizer.ggml.model", "gpt2"),
          Array("tokenizer.ggml.tokens", GgufType::kString, {Text("a"), Text("b"), Text("ab")}),
          Array("tokenizer.ggml.token_type", GgufType::kI32, {Raw(1), Raw(1), Raw(3)}),
          Array("tokenizer.ggml.merges", GgufType::kString, {Text("a b")}),
          U32("tokenizer.ggml.eos_token_id", 2)};
}

FileSpec Moe(const std::vector<std::pair<std::string, std::string>>& edits = {}) {
  FileSpec spec;
  spec.keys = MoeKeys();
  for (const auto& [name, value] : edits) {
    const std::string start = Text(name);
    std::erase_if(spec.keys, [&](const std::string& key) { return key.starts_with(start); });
    if (!value.empty()) spec.keys.push_back(value);
  }
  spec.tensors = {{"token_embd.weight", {4, 3}, 0, 0}};
  spec.n_data = 48;
  return spec;
}

// ---- container ----

TEST(Gguf, ReadsVersionsTwoAndThree) {
  for (const uint32_t version : {2U, 3U}) {
    FileSpec spec;
    spec.version = version;
    spec.keys = {U32("general.alignment", 8)};
    spec.alignment = 8;
    spec.tensors = {{"q", {32, 2}, 8, 0}, {"scalar", {}, 0, 72}};
    spec.n_data = 76;
    const std::string bytes = spec.Bytes();
    const auto file = Parse(bytes);
    ASSERT_TRUE(file.has_value()) << file.error().ToString();
    EXPECT_EQ(file->version(), version);
    const StoredTensor* q = file->FindTensor("q");
    ASSERT_NE(q, nullptr);
    EXPECT_EQ(q->dtype, DType::kQ8_0);
    EXPECT_EQ(q->shape, (std::vector<int64_t>{2, 32})) << "outermost first";
    EXPECT_EQ(q->bytes.size(), 68U);
    EXPECT_EQ(file->FindTensor("scalar")->bytes[0], std::byte{72});
    EXPECT_EQ(file->FindTensor("none"), nullptr);
  }
}

TEST(Gguf, NamesWhatIsWrongWithTheContainer) {
  const auto with_tensors = [](std::vector<TensorSpec> tensors, size_t n_data) {
    return FileSpec{.tensors = std::move(tensors), .n_data = n_data}.Bytes();
  };
  const auto with_keys = [](std::vector<std::string> keys) { return FileSpec{.keys = std::move(keys)}.Bytes(); };
  const std::string head = "GGUF" + Raw(uint32_t{3});
  const struct {
    std::string file;
    const char* message;
  } kRows[] = {
      {"", "corrupt: f: magic at offset 0: expected 4 bytes, the file has 0 more"},
      {"GGML....", "corrupt: f: expected \"GGUF\" at offset 0"},
      {"GGUF" + Raw(uint32_t{1}), "unsupported: f: GGUF version 1 at offset 4, expected 2 or 3"},
      {"GGUF" + Raw(uint32_t{0x03000000}), "unsupported: f: a big-endian GGUF file"},
      {head + Raw(uint64_t{600000}) + Raw(uint64_t{0}),
       "exhausted: f: 600000 tensors at offset 8, more than the limit of 524288"},
      {head + Raw(std::numeric_limits<uint64_t>::max()) + Raw(uint64_t{0}),
       "exhausted: f: 18446744073709551615 tensors at offset 8, more than the limit of 524288"},
      {head + Raw(uint64_t{0}) + Raw(uint64_t{70000}),
       "exhausted: f: 70000 keys at offset 16, more than the limit of 65536"},
      {head + Raw(uint64_t{0}) + Raw(uint64_t{1}),
       "corrupt: f: key 0 at offset 24: expected 8 bytes, the file has 0 more"},
      {head + Raw(uint64_t{0}) + Raw(uint64_t{1}) + Raw(std::numeric_limits<uint64_t>::max()),
       "exhausted: f: key 0 at offset 24: 18446744073709551615 bytes, more than the limit of 256"},
      {with_keys({Text("k") + Raw(uint32_t{13})}),
       "corrupt: f: key \"k\": value type 13 at offset 33, expected 0 to 12"},
      {with_keys({Text("k") + Raw(uint32_t{4}) + "xy"}),
       "corrupt: f: value at offset 37: expected 4 bytes, the file has 2 more (value of key \"k\")"},
      {with_keys({Key("k", GgufType::kBool, "\x02")}),
       "corrupt: f: boolean at offset 37: expected 0 or 1, got 2 (value of key \"k\")"},
      {with_keys({Array("k", GgufType::kArray, {})}), "unsupported: f: key \"k\": an array of arrays"},
      {with_keys({Key("k", GgufType::kArray, Raw(uint32_t{0}) + Raw(uint64_t{1} << 40))}),
       "exhausted: f: key \"k\": an array of 1099511627776 elements, more than the limit of 16777216"},
      {with_keys({Key("k", GgufType::kArray, Raw(uint32_t{10}) + Raw(uint64_t{5}))}),
       "corrupt: f: value at offset 49: expected 40 bytes, the file has 0 more (value of key \"k\")"},
      {with_keys({Key("k", GgufType::kString, Raw(uint64_t{1} << 30))}),
       "exhausted: f: string at offset 37: 1073741824 bytes, more than the limit of 16777216 (value of key \"k\")"},
      {with_keys({U32("k", 1), U32("k", 2)}), "corrupt: f: key \"k\" stands twice"},
      {with_keys({U32("general.alignment", 24)}),
       "corrupt: f: general.alignment is 24, expected a power of two up to 65536"},
      {with_keys({U32("general.alignment", 0)}),
       "corrupt: f: general.alignment is 0, expected a power of two up to 65536"},
      {with_keys({Str("general.alignment", "8")}),
       "corrupt: f: key \"general.alignment\": expected an integer below 2^63, "
       "got string"},
      {with_tensors({{"t", {1, 1, 1, 1, 1}}}, 4), "exhausted: f: tensor \"t\": 5 dims, more than the limit of 4"},
      {with_tensors({{"t", {-4}}}, 4), "corrupt: f: tensor \"t\": shape [-4] has a negative dim"},
      {with_tensors({{"t", {4}, 99}}, 4), "unsupported: f: tensor \"t\": type 99 is not one that this build knows"},
      {with_tensors({{"t", {256}, 16}}, 66), "unsupported: f: tensor \"t\": type IQ2_XXS is not supported"},
      {with_tensors({{"t", {33}, 8}}, 68),
       "corrupt: f: tensor \"t\": shape [33]: rows of 33 elements are no multiple of the 32 elements in a q8_0 block"},
      {with_tensors({{"t", {int64_t{1} << 40, int64_t{1} << 40}}}, 4),
       "corrupt: f: tensor \"t\": shape [1099511627776, 1099511627776] of f32 needs more than 2^62 bytes"},
      {with_tensors({{"t", {4}, 0, 4}}, 32),
       "corrupt: f: tensor \"t\": data offset 4 is no multiple of the alignment 32"},
      {with_tensors({{"t", {4}, 0, 32}}, 40),
       "corrupt: f: tensor \"t\": f32 [4] takes 16 bytes at data offset 32, the file has 40 bytes of data"},
      {with_tensors({{"t", {4}, 0, uint64_t{1} << 63}}, 40),
       "corrupt: f: tensor \"t\": f32 [4] takes 16 bytes at data offset 9223372036854775808, the file has 40 bytes of "
       "data"},
      {with_tensors({{"a", {16}, 0, 0}, {"b", {4}, 0, 32}}, 64),
       "corrupt: f: tensor \"b\": data offset 32 lies inside another tensor, which ends at 64"},
      {with_tensors({{"a", {4}, 0, 0}, {"a", {4}, 0, 32}}, 64), "corrupt: f: tensor \"a\" stands twice"},
  };
  for (const auto& row : kRows) EXPECT_EQ(TextOf(Parse(row.file)), row.message);
}

TEST(Gguf, ReadsEveryTypeOfTensorBySize) {
  const struct {
    uint32_t type;
    DType dtype;
    size_t bytes_of_256;
  } kRows[] = {
      {0, DType::kF32, 1024},  {1, DType::kF16, 512},    {30, DType::kBF16, 512},  {2, DType::kQ4_0, 144},
      {3, DType::kQ4_1, 160},  {6, DType::kQ5_0, 176},   {7, DType::kQ5_1, 192},   {8, DType::kQ8_0, 272},
      {10, DType::kQ2K, 84},   {11, DType::kQ3K, 110},   {12, DType::kQ4K, 144},   {13, DType::kQ5K, 176},
      {14, DType::kQ6K, 210},  {20, DType::kIQ4NL, 144}, {23, DType::kIQ4XS, 136}, {39, DType::kMXFP4, 136},
      {24, DType::kI8, 256},   {25, DType::kI16, 512},   {26, DType::kI32, 1024},  {27, DType::kI64, 2048},
      {28, DType::kF64, 2048},
  };
  for (const auto& row : kRows) {
    const std::string bytes = FileSpec{.tensors = {{"t", {256}, row.type}}, .n_data = row.bytes_of_256}.Bytes();
    const auto file = Parse(bytes);
    ASSERT_TRUE(file.has_value()) << file.error().ToString();
    EXPECT_EQ(file->tensors()[0].dtype, row.dtype);
    EXPECT_EQ(file->tensors()[0].bytes.size(), row.bytes_of_256);
  }
}

TEST(Gguf, SurvivesEveryTruncationAndManyMutations) {
  const std::string whole = Moe().Bytes();
  ASSERT_TRUE(Parse(whole).has_value());
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(Parse(whole.substr(0, n)).has_value()) << n;
  std::mt19937_64 rng(1);
  for (int i = 0; i < 20000; ++i) {
    std::string changed = whole;
    for (int k = 0; k < 3; ++k) changed[rng() % changed.size()] = static_cast<char>(rng());
    const auto file = Parse(changed);
    if (!file.has_value()) continue;
    (void)ReadGgufConfig(*file, file->tensors());
    (void)ReadGgufTokenizer(*file);
    (void)ReadGgufGeneration(*file);
  }
}

TEST(Gguf, AccessorsNameKeyAndType) {
  const std::string bytes = FileSpec{
      .keys = {U32("u", 7), Str("s", "x"), Key("b", GgufType::kBool, "\x01"), F32("nan", std::nanf("")),
               Key("big", GgufType::kU64, Raw(std::numeric_limits<uint64_t>::max())),
               Array("list", GgufType::kI16, {Raw(int16_t{-1}), Raw(int16_t{2})}),
               Array("empty", GgufType::kString,
                     {})}}.Bytes();
  const auto file = Parse(bytes);
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  EXPECT_EQ(TextOf(file->String("none")), "corrupt: f: key \"none\" is missing: expected a string");
  EXPECT_EQ(TextOf(file->String("u")), "corrupt: f: key \"u\": expected a string, got u32");
  EXPECT_EQ(TextOf(file->String("list")), "corrupt: f: key \"list\": expected a string, got an array of i16");
  EXPECT_EQ(TextOf(file->Integer("s")), "corrupt: f: key \"s\": expected an integer below 2^63, got string");
  EXPECT_EQ(TextOf(file->Integer("big")), "corrupt: f: key \"big\": expected an integer below 2^63, got u64");
  EXPECT_EQ(TextOf(file->Number("nan")), "corrupt: f: key \"nan\": expected a finite number, got f32");
  EXPECT_EQ(TextOf(file->Number("b")), "corrupt: f: key \"b\": expected a finite number, got bool");
  EXPECT_EQ(TextOf(file->Bool("u")), "corrupt: f: key \"u\": expected a boolean, got u32");
  EXPECT_EQ(TextOf(file->Strings("list")),
            "corrupt: f: key \"list\": expected an array of strings, got an array of i16");
  EXPECT_EQ(TextOf(file->Strings("s")), "corrupt: f: key \"s\": expected an array of strings, got string");
  EXPECT_EQ(TextOf(file->Integers("s")), "corrupt: f: key \"s\": expected integers, got string");
  EXPECT_EQ(*file->Integers("list"), (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ(*file->Integers("u"), (std::vector<int64_t>{7}));
  EXPECT_TRUE(file->Strings("empty")->empty());
  EXPECT_EQ(*file->IntegerOrNone("none"), std::nullopt);
  EXPECT_EQ(*file->BoolOrNone("b"), true);
  EXPECT_EQ(file->Keys(), (std::vector<std::string_view>{"b", "big", "empty", "list", "nan", "s", "u"}));
}

// ---- numbers ----

Result<ModelConfig> ConfigOf(const FileSpec& spec) {
  const std::string bytes = spec.Bytes();
  const auto file = Parse(bytes);
  if (!file.has_value()) return std::unexpected(file.error());
  return ReadGgufConfig(*file, file->tensors());
}

TEST(GgufConfig, ReadsQwen3Moe) {
  const auto config = ConfigOf(Moe());
  ASSERT_TRUE(config.has_value()) << config.error().ToString();
  EXPECT_EQ(config->architecture, Architecture::kQwen3Moe);
  EXPECT_EQ(config->head_dim, 6);
  EXPECT_EQ(config->n_kv_heads, 2);
  EXPECT_EQ(config->vocab, 3);
  EXPECT_TRUE(config->tied_embeddings) << "there is no output.weight";
  EXPECT_TRUE(config->qk_norm);
  EXPECT_TRUE(config->norm_topk_prob);
  EXPECT_EQ(config->d_ff, 0);
  EXPECT_EQ(config->eos_tokens, (std::vector<int>{2}));
}

TEST(GgufConfig, ReadsQwen2AndItsHeadDim) {
  FileSpec spec;
  spec.keys = {Str("general.architecture", "qwen2"),
               U32("qwen2.block_count", 2),
               U32("qwen2.context_length", 64),
               U32("qwen2.embedding_length", 8),
               U32("qwen2.feed_forward_length", 8),
               U32("qwen2.attention.head_count", 2),
               F32("qwen2.attention.layer_norm_rms_epsilon", 1e-6F),
               F32("qwen2.rope.freq_base", 1e6F)};
  spec.tensors = {{"token_embd.weight", {8, 3}, 0, 0}, {"output.weight", {8, 3}, 0, 96}};
  spec.n_data = 192;
  const auto config = ConfigOf(spec);
  ASSERT_TRUE(config.has_value()) << config.error().ToString();
  EXPECT_EQ(config->head_dim, 4);
  EXPECT_EQ(config->n_kv_heads, 2);
  EXPECT_TRUE(config->attention_bias);
  EXPECT_FALSE(config->tied_embeddings);
  EXPECT_EQ(config->n_experts, 0);
}

TEST(GgufConfig, TakesHeadCountsPerLayerWhenAllAreEqual) {
  const auto per_layer = [](std::vector<int32_t> values) {
    std::vector<std::string> items;
    for (const int32_t value : values) items.push_back(Raw(value));
    return Moe(
        {{"qwen3moe.block_count", U32("qwen3moe.block_count", 2)},
         {"qwen3moe.attention.head_count_kv", Array("qwen3moe.attention.head_count_kv", GgufType::kI32, items)}});
  };
  EXPECT_EQ(ConfigOf(per_layer({2, 2}))->n_kv_heads, 2);
  EXPECT_EQ(TextOf(ConfigOf(per_layer({2, 0}))),
            "unsupported: f: key \"qwen3moe.attention.head_count_kv\": 2 in one layer and 0 in another");
  EXPECT_EQ(TextOf(ConfigOf(per_layer({}))), "corrupt: f: key \"qwen3moe.attention.head_count_kv\": an empty array");
  EXPECT_EQ(TextOf(ConfigOf(per_layer({-2, -2}))),
            "corrupt: f: key \"qwen3moe.attention.head_count_kv\": expected 0 to 2147483647, got -2");
}

TEST(GgufConfig, ReadsYarn) {
  const auto config = ConfigOf(Moe({{"a", Str("qwen3moe.rope.scaling.type", "yarn")},
                                    {"b", F32("qwen3moe.rope.scaling.factor", 4)},
                                    {"c", U32("qwen3moe.rope.scaling.original_context_length", 64)},
                                    {"d", F32("qwen3moe.rope.scaling.attn_factor", 2)},
                                    {"e", F32("qwen3moe.rope.scaling.yarn_beta_fast", 16)}}));
  ASSERT_TRUE(config.has_value()) << config.error().ToString();
  ASSERT_TRUE(config->yarn.has_value());
  EXPECT_EQ(config->yarn->factor, 4);
  EXPECT_EQ(config->yarn->beta_fast, 16);
  EXPECT_EQ(config->yarn->beta_slow, 1);
  EXPECT_NEAR(config->yarn->attention_factor.value(), 2 * 1.1386294, 1e-6);
  EXPECT_EQ(config->context_length, 256);
}

TEST(GgufConfig, NamesWhatIsWrong) {
  const struct {
    std::string key, value;
    const char* message;
  } kRows[] = {
      {"general.architecture", "", "corrupt: f: key \"general.architecture\" is missing: expected a string"},
      {"general.architecture", Str("general.architecture", "llama"),
       "unsupported: f: general.architecture \"llama\" is not supported: this build runs qwen2, qwen3, qwen3moe and "
       "qwen3next"},
      {"general.type", Str("general.type", "adapter"), "unsupported: f: general.type \"adapter\" is not \"model\""},
      {"qwen3moe.block_count", "", "corrupt: f: key \"qwen3moe.block_count\" is missing: expected an integer"},
      {"qwen3moe.block_count", Key("qwen3moe.block_count", GgufType::kI32, Raw(-1)),
       "corrupt: f: key \"qwen3moe.block_count\": expected 0 to 2147483647, got -1"},
      {"qwen3moe.block_count", U32("qwen3moe.block_count", 0),
       "invalid_argument: f: num_hidden_layers is 0, expected 1 to 1024"},
      {"qwen3moe.attention.value_length", U32("qwen3moe.attention.value_length", 8),
       "unsupported: f: qwen3moe.attention.key_length is 6 and qwen3moe.attention.value_length is 8: different lengths "
       "are "
       "not supported"},
      {"qwen3moe.rope.dimension_count", U32("qwen3moe.rope.dimension_count", 4),
       "unsupported: f: qwen3moe.rope.dimension_count is 4 and the head has 6 dims: partial rotation is not supported"},
      {"qwen3moe.rope.scaling.type", Str("qwen3moe.rope.scaling.type", "linear"),
       "unsupported: f: qwen3moe.rope.scaling.type \"linear\" is not supported: this build knows \"none\" and "
       "\"yarn\""},
      {"qwen3moe.expert_shared_feed_forward_length", U32("qwen3moe.expert_shared_feed_forward_length", 8),
       "unsupported: f: qwen3moe.expert_shared_feed_forward_length is 8: a shared expert is not supported"},
      {"qwen3moe.nextn_predict_layers", U32("qwen3moe.nextn_predict_layers", 1),
       "unsupported: f: qwen3moe.nextn_predict_layers 1 is not supported for qwen3moe"},
      {"qwen3moe.vocab_size", U32("qwen3moe.vocab_size", 4),
       "invalid_argument: f: qwen3moe.vocab_size is 4 but \"token_embd.weight\" has 3 rows"},
      {"tokenizer.ggml.eos_token_id", U32("tokenizer.ggml.eos_token_id", 3),
       "invalid_argument: f: eos_token_id is 3, expected 0 to 2"},
      {"tokenizer.ggml.eos_token_id", U32("tokenizer.ggml.eos_token_id", 0xFFFFFFFF), "no error"},
  };
  for (const auto& row : kRows) EXPECT_EQ(TextOf(ConfigOf(Moe({{row.key, row.value}}))), row.message);
  FileSpec no_embedding = Moe();
  no_embedding.tensors[0].name = "other";
  EXPECT_EQ(TextOf(ConfigOf(no_embedding)), "corrupt: f: tensor \"token_embd.weight\" is missing");
}

TEST(GgufGeneration, ReadsSamplingAndEveryStopId) {
  const std::string bytes =
      FileSpec{.keys = {F32("general.sampling.temp", 1), F32("general.sampling.top_p", 0.5F),
                        U32("general.sampling.top_k", 40), F32("general.sampling.min_p", 0),
                        F32("general.sampling.penalty_repeat", 1.5F), U32("tokenizer.ggml.eos_token_id", 9),
                        U32("tokenizer.ggml.eot_token_id", 8),
                        Array("tokenizer.ggml.eos_token_ids", GgufType::kI32, {Raw(8), Raw(7)})}}
          .Bytes();
  const auto file = Parse(bytes);
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(*ReadGgufGeneration(*file), (GenerationConfig{1.0F, 0.5F, 0.0F, 1.5F, 40, {9, 8, 7}}));
}

// ---- tokenizer ----

TEST(GgufTokenizer, NamesWhatIsWrong) {
  const struct {
    std::string key, value;
    const char* message;
  } kRows[] = {
      {"tokenizer.ggml.model", Str("tokenizer.ggml.model", "llama"),
       "unsupported: f: tokenizer.ggml.model \"llama\" is not supported: this build knows \"gpt2\" (byte-level BPE)"},
      {"tokenizer.ggml.tokens", Array("tokenizer.ggml.tokens", GgufType::kString, {}),
       "invalid_argument: f: key \"tokenizer.ggml.tokens\": 0 tokens, expected 1 to 4194304"},
      {"tokenizer.ggml.token_type", Array("tokenizer.ggml.token_type", GgufType::kI32, {Raw(1)}),
       "corrupt: f: key \"tokenizer.ggml.token_type\" has 1 entries for 3 tokens"},
      {"tokenizer.ggml.token_type", Array("tokenizer.ggml.token_type", GgufType::kI32, {Raw(1), Raw(9), Raw(1)}),
       "corrupt: f: key \"tokenizer.ggml.token_type\": expected 0 to 6, got 9"},
      {"tokenizer.ggml.merges", "",
       "corrupt: f: key \"tokenizer.ggml.merges\" is missing: expected an array of strings"},
      {"tokenizer.ggml.fim_pre_token_id", U32("tokenizer.ggml.fim_pre_token_id", 3),
       "corrupt: f: key \"tokenizer.ggml.fim_pre_token_id\" is 3, the tokenizer has 3 tokens"},
      {"tokenizer.chat_templates", Array("tokenizer.chat_templates", GgufType::kString, {Text("tool_use")}),
       "corrupt: f: key \"tokenizer.chat_template.tool_use\" is missing: expected a string"},
      {"tokenizer.ggml.eos_token_ids", Array("tokenizer.ggml.eos_token_ids", GgufType::kI32, {Raw(5)}),
       "corrupt: f: key \"tokenizer.ggml.eos_token_ids\" has 5, the tokenizer has 3 tokens"},
  };
  for (const auto& row : kRows) {
    const std::string bytes = Moe({{row.key, row.value}}).Bytes();
    const auto file = Parse(bytes);
    ASSERT_TRUE(file.has_value()) << file.error().ToString();
    EXPECT_EQ(TextOf(ReadGgufTokenizer(*file)), row.message);
  }
}

TEST(GgufTokenizer, ReadsNamedTemplates) {
  const std::string bytes = Moe({{"a", Array("tokenizer.chat_templates", GgufType::kString, {Text("tool_use")})},
                                 {"b", Str("tokenizer.chat_template.tool_use", "T")}})
                                .Bytes();
  const auto file = Parse(bytes);
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  const auto tokenizer = ReadGgufTokenizer(*file);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().ToString();
  EXPECT_EQ(tokenizer->chat_template, "");
  EXPECT_EQ(tokenizer->chat_templates.at("tool_use"), "T");
}

// ---- names and files ----

TEST(HuggingFaceName, FollowsTheTable) {
  EXPECT_EQ(HuggingFaceName("token_embd.weight"), "model.embed_tokens.weight");
  EXPECT_EQ(HuggingFaceName("blk.12.attn_q.bias"), "model.layers.12.self_attn.q_proj.bias");
  EXPECT_EQ(HuggingFaceName("blk.0.ffn_down_exps.weight"), "model.layers.0.mlp.experts.down_proj");
  for (const char* same : {"rope_freqs.weight", "blk.x.attn_q.weight", "blk..attn_q.weight", "blk.03.attn_q.weight",
                           "blk.3", "blk.3.other.weight", ""}) {
    EXPECT_EQ(HuggingFaceName(same), same);
  }
}

class GgufFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / fmt::format("quern_gguf_{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void WritePart(const std::string& name, FileSpec spec, uint16_t number, uint16_t count, int32_t n_tensors) {
    spec.keys.push_back(Key("split.no", GgufType::kU16, Raw(number)));
    spec.keys.push_back(Key("split.count", GgufType::kU16, Raw(count)));
    spec.keys.push_back(Key("split.tensors.count", GgufType::kI32, Raw(n_tensors)));
    std::ofstream(folder_ / name, std::ios::binary) << spec.Bytes();
  }
  std::string Error(const std::string& name) {
    const auto opened = Checkpoint::Open(folder_ / name);
    if (opened.has_value()) return "no error";
    std::string text = opened.error().ToString();
    for (size_t at = 0; (at = text.find(folder_.string(), at)) != std::string::npos;) {
      text.replace(at, folder_.string().size(), "DIR");
    }
    return text;
  }

  FileSpec Second() { return {.tensors = {{"output.weight", {4, 3}, 0, 0}}, .n_data = 48}; }

  fs::path folder_;
};

TEST_F(GgufFiles, JoinsParts) {
  WritePart("m-00001-of-00002.gguf", Moe(), 0, 2, 2);
  WritePart("m-00002-of-00002.gguf", Second(), 1, 2, 2);
  const auto opened = Checkpoint::Open(folder_ / "m-00001-of-00002.gguf");
  ASSERT_TRUE(opened.has_value()) << opened.error().ToString();
  EXPECT_FALSE((*opened)->config().tied_embeddings) << "the head is in the second part";
  EXPECT_EQ((*opened)->Find("lm_head.weight")->file_idx, 1);
  EXPECT_EQ((*opened)->files().size(), 2U);
}

TEST_F(GgufFiles, NamesWhatIsWrongWithParts) {
  WritePart("m-00001-of-00002.gguf", Moe(), 0, 2, 3);
  EXPECT_EQ(Error("m-00001-of-00002.gguf"),
            "not_found: cannot open DIR/m-00002-of-00002.gguf: No such file or directory");
  WritePart("m-00002-of-00002.gguf", Second(), 1, 2, 3);
  EXPECT_EQ(Error("m-00001-of-00002.gguf"),
            "corrupt: DIR/m-00001-of-00002.gguf: split.tensors.count is 3, the 2 parts hold 2 tensors");
  WritePart("m-00002-of-00002.gguf", Second(), 0, 2, 3);
  EXPECT_EQ(Error("m-00001-of-00002.gguf"),
            "corrupt: DIR/m-00002-of-00002.gguf: the file says it is part 1 of 2, expected part 2 of 2");
  WritePart("m.gguf", Moe(), 0, 2, 3);
  EXPECT_EQ(Error("m.gguf"),
            "invalid_argument: DIR/m.gguf: the file says it is part 1 of 2, expected a name ending "
            "-00001-of-00002.gguf");
  WritePart("m-00005-of-00002.gguf", Moe(), 4, 2, 3);
  EXPECT_EQ(Error("m-00005-of-00002.gguf"), "corrupt: DIR/m-00005-of-00002.gguf: split.no is 4, expected 0 to 1");
  WritePart("m-00001-of-09000.gguf", Moe(), 0, 9000, 3);
  EXPECT_EQ(Error("m-00001-of-09000.gguf"),
            "exhausted: DIR/m-00001-of-09000.gguf: split.count is 9000, more than the limit of 4096");
  WritePart("m-00001-of-00002.gguf", Moe(), 0, 2, 2);
  WritePart("m-00002-of-00002.gguf", Moe(), 1, 2, 2);
  EXPECT_EQ(
      Error("m-00001-of-00002.gguf"),
      "corrupt: DIR/m-00002-of-00002.gguf: tensor \"model.embed_tokens.weight\" stands in DIR/m-00001-of-00002.gguf "
      "too");
}

TEST_F(GgufFiles, NamesWhatIsNotAModel) {
  std::ofstream(folder_ / "x.txt") << "hello, world";
  EXPECT_EQ(Error("x.txt"), "corrupt: DIR/x.txt: expected \"GGUF\" at offset 0");
}

}  // namespace
}  // namespace quern::model
