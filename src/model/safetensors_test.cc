#include "model/safetensors.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "model/checkpoint.h"
#include "model/stacked_experts.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

// header_size, header, data: as the format wants it. claimed: what the first eight bytes say; the truth when negative.
std::string File(const std::string& header, size_t n_data, int64_t claimed = -1) {
  const uint64_t n = claimed < 0 ? header.size() : static_cast<uint64_t>(claimed);
  std::string out(8, '\0');
  std::memcpy(out.data(), &n, 8);
  out += header;
  for (size_t i = 0; i < n_data; ++i) out += static_cast<char>(i);
  return out;
}

Result<SafetensorsFile> Parse(const std::string& file) {
  return ParseSafetensors(std::as_bytes(std::span(file.data(), file.size())), "f");
}

std::string ErrorOf(const std::string& file) {
  const auto parsed = Parse(file);
  return parsed.has_value() ? "no error" : parsed.error().ToString();
}

TEST(Safetensors, GivesViewsInTheOrderOfTheBytes) {
  const std::string bytes = File(R"({"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[4,12]},)"
                                 R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"__metadata__":{"k":"v"}})",
                                 12);
  const auto file = Parse(bytes);
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  ASSERT_EQ(file->tensors.size(), 2U);
  EXPECT_EQ(file->tensors[0].name, "a");
  EXPECT_EQ(file->tensors[0].n_elements(), 1);
  EXPECT_EQ(file->tensors[1].name, "b");
  EXPECT_EQ(file->tensors[1].shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(file->tensors[1].bytes.size(), 8U);
  EXPECT_EQ(file->tensors[1].bytes[0], std::byte{4});
  EXPECT_EQ(file->metadata.at("k"), "v");
}

TEST(Safetensors, TakesAFileWithoutTensorsAndPaddedHeaders) {
  EXPECT_EQ(ErrorOf(File("{}", 0)), "no error");
  EXPECT_EQ(ErrorOf(File("{}      ", 0)), "no error");
}

TEST(Safetensors, NamesWhatIsWrong) {
  const auto one = [](const char* fields) { return fmt::format("{{\"t\":{{{}}}}}", fields); };
  const struct {
    std::string file;
    const char* message;
  } kRows[] = {
      {"", "corrupt: f: expected 8 bytes of header size at offset 0, the file has 0"},
      {"1234567", "corrupt: f: expected 8 bytes of header size at offset 0, the file has 7"},
      {File("{}", 0, 3), "corrupt: f: header of 3 bytes at offset 8 ends after the file's 10 bytes"},
      {File("{}", 0, 100'000'001), "exhausted: f: header of 100000001 bytes, more than the limit of 100000000"},
      {File("[]", 0), "corrupt: f: header: expected an object, got an array"},
      {File("{\"t\":3}", 0), "corrupt: f: tensor \"t\": expected an object, got an integer"},
      {File("{\"\":{}}", 0), "exhausted: f: tensor \"\": name of 0 bytes, expected 1 to 512"},
      {File(one("\"shape\":[],\"data_offsets\":[0,4]"), 4),
       "corrupt: f: tensor \"t\": dtype: expected a string, got nothing"},
      {File(one("\"dtype\":7"), 4), "corrupt: f: tensor \"t\": dtype: expected a string, got an integer"},
      {File(one("\"dtype\":\"F4\""), 4),
       "unsupported: f: tensor \"t\": dtype \"F4\" is not one of F32 F16 BF16 F8_E4M3 F64 I8 I16 I32 I64 U8 BOOL"},
      {File(one("\"dtype\":\"F32\",\"shape\":4"), 4),
       "corrupt: f: tensor \"t\": shape: expected an array, got an integer"},
      {File(one("\"dtype\":\"F32\",\"shape\":[-1]"), 4),
       "corrupt: f: tensor \"t\": shape: expected integers from 0 to 2^63-1, got -1"},
      {File(one("\"dtype\":\"F32\",\"shape\":[1.5]"), 4),
       "corrupt: f: tensor \"t\": shape: expected integers from 0 to 2^63-1, got 1.5E0"},
      {File(one("\"dtype\":\"F32\",\"shape\":[18446744073709551615]"), 4),
       "corrupt: f: tensor \"t\": shape: expected integers from 0 to 2^63-1, got 18446744073709551615"},
      {File(one("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1]"), 4),
       "exhausted: f: tensor \"t\": shape of 9 dims, more than the limit of 8"},
      {File(one("\"dtype\":\"F32\",\"shape\":[1]"), 4),
       "corrupt: f: tensor \"t\": data_offsets: expected [begin, end], got nothing"},
      {File(one("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), 4),
       "corrupt: f: tensor \"t\": data_offsets: expected [begin, end], got [0]"},
      {File(one("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4),
       "corrupt: f: tensor \"t\": data_offsets [4, 0] do not lie in the file's 4 bytes of data"},
      {File(one("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 4),
       "corrupt: f: tensor \"t\": data_offsets [0, 8] do not lie in the file's 4 bytes of data"},
      {File(one("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4),
       "corrupt: f: tensor \"t\": f32 [2] takes 8 bytes, data_offsets [0, 4] give 4"},
      {File(one("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]"), 4),
       "corrupt: f: tensor \"t\": shape [4294967296, 4294967296] of f32 needs more than 2^62 bytes"},
      {File(one("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,0],\"data_offsets\":[0,0]"), 0),
       "corrupt: f: tensor \"t\": shape [4294967296, 4294967296, 0] of f32 needs more than 2^62 bytes"},
      {File(one("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"x\":1"), 4),
       "corrupt: f: tensor \"t\": unknown field \"x\""},
      {File(one("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]"), 4),
       "corrupt: f: the tensors take 2 bytes, the file has 4 bytes of data"},
      {File(one("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]"), 4),
       "corrupt: f: tensor \"t\": data begins at offset 2, expected 0 (bytes of no tensor)"},
      {File(
           R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
           4),
       "corrupt: f: tensor \"b\": data begins at offset 2, expected 3 (tensors overlap)"},
      {File("{\"__metadata__\":[]}", 0), "corrupt: f: __metadata__: expected an object, got an array"},
      {File("{\"__metadata__\":{\"k\":1}}", 0), "corrupt: f: __metadata__.k: expected a string, got an integer"},
  };
  for (const auto& row : kRows) EXPECT_EQ(ErrorOf(row.file), row.message);
  EXPECT_NE(ErrorOf(File("{\"t\":", 0)).find("corrupt: f: header: not JSON at line 1"), std::string::npos);
  EXPECT_NE(ErrorOf(File("{\"t\":{},\"t\":{}}", 0)).find("name \"t\" stands twice"), std::string::npos);
  EXPECT_NE(ErrorOf(File("{\"t\":{\"dtype\":[[[]]]}}", 0)).find("nested deeper than the limit of 4"),
            std::string::npos);
  EXPECT_NE(ErrorOf(File("{\"" + std::string(600, 'n') + "\":{}}", 0)).find("name of 600 bytes"), std::string::npos);
}

TEST(Safetensors, SurvivesEveryTruncationAndManyMutations) {
  const std::string whole = File(R"({"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[4,12]},)"
                                 R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
                                 12);
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(Parse(whole.substr(0, n)).has_value()) << n;
  EXPECT_FALSE(Parse(whole + "x").has_value());
  std::mt19937_64 rng(1);
  for (int i = 0; i < 20000; ++i) {
    std::string changed = whole;
    for (int k = 0; k < 3; ++k) changed[rng() % (changed.size() - 12)] = static_cast<char>(rng());
    const auto parsed = Parse(changed);
    if (!parsed.has_value()) continue;
    for (const StoredTensor& tensor : parsed->tensors) {
      EXPECT_EQ(*TensorBytes(tensor.dtype, tensor.shape), tensor.bytes.size());
    }
  }
}

TEST(SafetensorsIndex, NamesWhatIsWrong) {
  const auto error = [](std::string_view text) {
    const auto parsed = ParseSafetensorsIndex(text, "i");
    return parsed.has_value() ? std::string("no error") : parsed.error().ToString();
  };
  EXPECT_EQ(error(R"({"weight_map":{"a":"model-1.safetensors"}})"), "no error");
  EXPECT_EQ(error("{}"), "corrupt: i: expected an object with an object \"weight_map\"");
  EXPECT_EQ(error(R"({"weight_map":[]})"), "corrupt: i: expected an object with an object \"weight_map\"");
  EXPECT_EQ(error(R"({"weight_map":{"a":1}})"),
            "corrupt: i: weight_map: tensor \"a\": expected a file name, got an integer");
  for (const char* path : {"../x", "/etc/passwd", "sub/x", "", ".hidden", "..", "a\\\\b", "a\\u0000b"}) {
    EXPECT_NE(error(fmt::format("{{\"weight_map\":{{\"a\":\"{}\"}}}}", path)).find("is not a plain file name"),
              std::string::npos)
        << path;
  }
}

StoredTensor Stacked(std::string name, std::vector<int64_t> shape, std::span<const std::byte> bytes) {
  return {.name = std::move(name), .dtype = DType::kU8, .shape = std::move(shape), .bytes = bytes};
}

TEST(UnstackExperts, CutsFusedGateAndUp) {
  std::vector<std::byte> bytes(2 * 4 * 3);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  const auto out = UnstackExperts({Stacked("model.layers.7.mlp.experts.gate_up_proj", {2, 4, 3}, bytes)});
  ASSERT_TRUE(out.has_value()) << out.error().ToString();
  ASSERT_EQ(out->size(), 4U);
  EXPECT_EQ((*out)[0].name, "model.layers.7.mlp.experts.0.gate_proj.weight");
  EXPECT_EQ((*out)[1].name, "model.layers.7.mlp.experts.0.up_proj.weight");
  EXPECT_EQ((*out)[3].name, "model.layers.7.mlp.experts.1.up_proj.weight");
  EXPECT_EQ((*out)[3].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ((*out)[3].bytes.data(), bytes.data() + 18);
  EXPECT_EQ((*out)[3].bytes.size(), 6U);
}

TEST(UnstackExperts, NamesWhatIsWrong) {
  const std::vector<std::byte> bytes(24);
  const auto error = [&](std::vector<int64_t> shape) {
    return UnstackExperts({Stacked("x.mlp.experts.gate_up_proj", std::move(shape), bytes)}).error().ToString();
  };
  EXPECT_EQ(error({6, 4}),
            "corrupt: tensor \"x.mlp.experts.gate_up_proj\": stacked experts: expected [experts, rows, columns], got "
            "shape [6, 4]");
  EXPECT_EQ(
      error({2, 3, 4}),
      "corrupt: tensor \"x.mlp.experts.gate_up_proj\": gate and up fused: expected an even number of rows, got 3");
  EXPECT_EQ(error({0, 4, 3}),
            "exhausted: tensor \"x.mlp.experts.gate_up_proj\": 0 stacked experts, expected 1 to 4096");
  EXPECT_EQ(error({5000, 2, 0}),
            "exhausted: tensor \"x.mlp.experts.gate_up_proj\": 5000 stacked experts, expected 1 to 4096");
}

// ---- folders ----

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::path(testing::TempDir()) / fmt::format("quern_folder_{}", ::getpid());
    fs::create_directories(path_);
    Write("config.json",
          R"({"model_type":"qwen2","hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,"num_attention_heads":2,
              "vocab_size":3,"max_position_embeddings":64,"rms_norm_eps":1e-6,"rope_theta":1e6})");
  }
  void TearDown() override { fs::remove_all(path_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  std::string Error() {
    const auto opened = Checkpoint::Open(path_);
    if (opened.has_value()) return "no error";
    std::string text = opened.error().ToString();
    for (size_t at = 0; (at = text.find(path_.string(), at)) != std::string::npos;) {
      text.replace(at, path_.string().size(), "DIR");
    }
    return text;
  }
  static std::string U8(const std::string& name) {
    return File(fmt::format("{{\"{}\":{{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}}}", name), 2);
  }

  fs::path path_;
};

TEST_F(Folder, OpensASingleFile) {
  Write("model.safetensors", U8("a"));
  const auto opened = Checkpoint::Open(path_);
  ASSERT_TRUE(opened.has_value()) << opened.error().ToString();
  EXPECT_EQ((*opened)->format(), CheckpointFormat::kSafetensors);
  EXPECT_EQ((*opened)->gguf(), nullptr);
  EXPECT_EQ((*opened)->generation(), GenerationConfig{});
  ASSERT_NE((*opened)->Find("a"), nullptr);
  EXPECT_EQ((*opened)->Find("b"), nullptr);
  EXPECT_EQ((*opened)->n_bytes(), 2U);
}

TEST_F(Folder, NamesWhatIsWrongWithTheFolder) {
  EXPECT_EQ(Error(), "not_found: DIR: neither model.safetensors nor model.safetensors.index.json is there");
  Write("model.safetensors", "short");
  EXPECT_EQ(Error(), "corrupt: DIR/model.safetensors: expected 8 bytes of header size at offset 0, the file has 5");
  Write("generation_config.json", "{\"top_k\":-1}");
  EXPECT_EQ(Error(),
            "corrupt: DIR/generation_config.json: key top_k: expected an integer from 0 to 2147483647, got -1");
  Write("config.json", "{}");
  EXPECT_EQ(Error(), "corrupt: DIR/config.json: neither key architectures nor key model_type names the architecture");
  fs::remove(path_ / "config.json");
  EXPECT_EQ(Error(), "not_found: cannot open DIR/config.json: No such file or directory");
  EXPECT_EQ(Checkpoint::Open(path_ / "none").error().code(), Code::kNotFound);
}

TEST_F(Folder, HoldsTheIndexAgainstTheShards) {
  const auto index = [&](const std::string& map) {
    Write("model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  };
  Write("m1.safetensors", U8("a"));
  Write("m2.safetensors", U8("b"));
  index(R"("a":"m1.safetensors","b":"m2.safetensors")");
  EXPECT_EQ(Error(), "no error");
  index(R"("a":"m1.safetensors")");
  EXPECT_EQ(Error(), "no error") << "a file that the index does not name is not read";
  index(R"("a":"m1.safetensors","b":"m1.safetensors")");
  EXPECT_EQ(
      Error(),
      "corrupt: DIR/model.safetensors.index.json: tensor \"b\" is expected in m1.safetensors, which does not hold it");
  index(R"("c":"m1.safetensors")");
  EXPECT_EQ(Error(),
            "corrupt: DIR/model.safetensors.index.json: tensor \"a\" stands in m1.safetensors, expected no file");
  index(R"("a":"m3.safetensors")");
  EXPECT_EQ(Error(), "not_found: cannot open DIR/m3.safetensors: No such file or directory");
  index(R"("a":"../m1.safetensors")");
  EXPECT_NE(Error().find("is not a plain file name"), std::string::npos);
  Write("m2.safetensors", U8("a"));
  index(R"("a":"m1.safetensors","b":"m2.safetensors")");
  EXPECT_EQ(
      Error(),
      "corrupt: DIR/model.safetensors.index.json: tensor \"a\" stands in m2.safetensors, expected m1.safetensors");
}

TEST_F(Folder, RefusesAnExpertThatStandsBothStackedAndAlone) {
  Write("model.safetensors",
        File(R"({"l.mlp.experts.0.down_proj.weight":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
             R"("l.mlp.experts.down_proj":{"dtype":"U8","shape":[1,1,2],"data_offsets":[2,4]}})",
             4));
  EXPECT_EQ(
      Error(),
      "corrupt: DIR/model.safetensors: tensor \"l.mlp.experts.0.down_proj.weight\" stands in DIR/model.safetensors "
      "too");
}

}  // namespace
}  // namespace quern::model
