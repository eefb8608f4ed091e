#include "model/gguf_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "base/os/mapped_file.h"
#include "model/importance.h"

namespace quern::model {
namespace {

std::filesystem::path Temp(const std::string& name) { return std::filesystem::path(testing::TempDir()) / name; }

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

GgufMetadata SomeKeys() {
  GgufMetadata keys;
  keys.Set("a.text", "käse");
  keys.Set("a.u32", uint32_t{4'000'000'000});
  keys.Set("a.i32", int32_t{-5});
  keys.Set("a.f32", 0.25F);
  keys.Set("a.bool", true);
  const std::vector<std::string_view> texts = {"", "one", "two words"};
  keys.Set("a.texts", std::span<const std::string_view>(texts));
  const std::vector<int32_t> numbers = {3, -1, 7};
  keys.Set("a.numbers", std::span<const int32_t>(numbers));
  keys.Set("a.empty", std::span<const int32_t>());
  return keys;
}

std::vector<GgufTensorInfo> SomeTensors() {
  return {{.name = "x", .dtype = DType::kF32, .shape = {3}},
          {.name = "none", .dtype = DType::kF32, .shape = {0, 4}},
          {.name = "y", .dtype = DType::kQ8_0, .shape = {2, 3, 32}},
          {.name = "z", .dtype = DType::kBF16, .shape = {5, 7}}};
}

// Byte i of all tensors together is i mod 251; written in pieces of n bytes at most.
void WriteSome(const std::filesystem::path& path, const GgufMetadata& keys, size_t n) {
  auto writer = GgufWriter::Create(path, keys, SomeTensors());
  ASSERT_TRUE(writer.has_value()) << writer.error().ToString();
  size_t value = 0;
  for (const GgufTensorInfo& tensor : SomeTensors()) {
    for (size_t left = tensor.n_bytes(); left > 0;) {
      std::vector<std::byte> piece(std::min(n, left));
      for (std::byte& b : piece) b = static_cast<std::byte>(value++ % 251);
      ASSERT_TRUE((*writer)->Append(piece).has_value());
      left -= piece.size();
    }
  }
  ASSERT_TRUE((*writer)->Finish().has_value());
}

TEST(GgufWriter, WhatIsWrittenIsRead) {
  WriteSome(Temp("quern_writer.gguf"), SomeKeys(), 1000);
  const auto mapping = os::MappedFile::Open(Temp("quern_writer.gguf"));
  ASSERT_TRUE(mapping.has_value());
  const auto file = GgufFile::Parse((*mapping)->bytes(), "written");
  ASSERT_TRUE(file.has_value()) << file.error().ToString();
  EXPECT_EQ(file->version(), 3U);
  EXPECT_EQ(*file->String("a.text"), "käse");
  EXPECT_EQ(*file->Integer("a.u32"), 4'000'000'000);
  EXPECT_EQ(*file->Integer("a.i32"), -5);
  EXPECT_EQ(*file->Number("a.f32"), 0.25);
  EXPECT_EQ(*file->Bool("a.bool"), true);
  EXPECT_EQ(*file->Strings("a.texts"), (std::vector<std::string_view>{"", "one", "two words"}));
  EXPECT_EQ(*file->Integers("a.numbers"), (std::vector<int64_t>{3, -1, 7}));
  EXPECT_TRUE(file->Integers("a.empty")->empty());
  ASSERT_EQ(file->tensors().size(), SomeTensors().size());
  size_t value = 0;
  for (size_t i = 0; i < SomeTensors().size(); ++i) {
    const StoredTensor& tensor = file->tensors()[i];
    EXPECT_EQ(tensor.name, SomeTensors()[i].name);
    EXPECT_EQ(tensor.dtype, SomeTensors()[i].dtype);
    EXPECT_EQ(tensor.shape, SomeTensors()[i].shape);
    for (const std::byte b : tensor.bytes) ASSERT_EQ(b, static_cast<std::byte>(value++ % 251)) << tensor.name;
  }
  EXPECT_EQ((*mapping)->bytes().size() % 32, 0U);
}

TEST(GgufWriter, PiecesDoNotShow) {
  WriteSome(Temp("quern_writer_a.gguf"), SomeKeys(), 1);
  WriteSome(Temp("quern_writer_b.gguf"), SomeKeys(), 1 << 20);
  EXPECT_EQ(ReadAll(Temp("quern_writer_a.gguf")), ReadAll(Temp("quern_writer_b.gguf")));
}

TEST(GgufWriter, KeysAreCopiedWithTheirTypes) {
  WriteSome(Temp("quern_writer_c.gguf"), SomeKeys(), 1000);
  const auto mapping = os::MappedFile::Open(Temp("quern_writer_c.gguf"));
  ASSERT_TRUE(mapping.has_value());
  const auto file = GgufFile::Parse((*mapping)->bytes(), "written");
  ASSERT_TRUE(file.has_value());
  GgufMetadata copy;
  for (const char* key : {"a.text", "a.u32", "a.i32", "a.f32", "a.bool", "a.texts", "a.numbers", "a.empty"}) {
    copy.Copy(*file, key);
  }
  WriteSome(Temp("quern_writer_d.gguf"), copy, 1000);
  EXPECT_EQ(ReadAll(Temp("quern_writer_c.gguf")), ReadAll(Temp("quern_writer_d.gguf")));
}

TEST(GgufWriter, AKeySetTwiceHasItsLastValueAndItsFirstPlace) {
  GgufMetadata keys = SomeKeys();
  keys.Set("a.text", uint32_t{1});
  EXPECT_EQ(keys.size(), SomeKeys().size());
  WriteSome(Temp("quern_writer_e.gguf"), keys, 1000);
  const auto mapping = os::MappedFile::Open(Temp("quern_writer_e.gguf"));
  ASSERT_TRUE(mapping.has_value());
  EXPECT_EQ(*GgufFile::Parse((*mapping)->bytes(), "written")->Integer("a.text"), 1);
}

TEST(ImportanceMatrix, ComesBackFromItsFile) {
  ImportanceMatrix matrix;
  matrix.Set("blk.0.attn_q.weight", {.n_experts = 1, .mean_squares = {1, 2, 0.5F}});
  matrix.Set("blk.0.ffn_up_exps.weight", {.n_experts = 2, .mean_squares = {0, 1, 2, 3}});
  ASSERT_TRUE(matrix.Save(Temp("quern_importance")).has_value());
  const auto back = ImportanceMatrix::Load(Temp("quern_importance"));
  ASSERT_TRUE(back.has_value()) << back.error().ToString();
  ASSERT_EQ(back->entries().size(), 2U);
  EXPECT_EQ(back->Find("blk.0.attn_q.weight")->mean_squares, (std::vector<float>{1, 2, 0.5F}));
  EXPECT_EQ(back->Find("blk.0.ffn_up_exps.weight")->n_experts, 2);
  EXPECT_EQ(back->Find("blk.1.attn_q.weight"), nullptr);
}

TEST(ImportanceMatrix, OtherFilesAreRefused) {
  WriteSome(Temp("quern_importance_no"), SomeKeys(), 1000);
  EXPECT_EQ(ImportanceMatrix::Load(Temp("quern_importance_no")).error().code(), Code::kCorrupt);
  ImportanceMatrix matrix;
  matrix.Set("t", {.n_experts = 1, .mean_squares = {1, -2}});
  ASSERT_TRUE(matrix.Save(Temp("quern_importance_bad")).has_value());
  const auto back = ImportanceMatrix::Load(Temp("quern_importance_bad"));
  ASSERT_FALSE(back.has_value());
  EXPECT_NE(back.error().message().find("mean square is -2"), std::string::npos) << back.error().message();
}

}  // namespace
}  // namespace quern::model
