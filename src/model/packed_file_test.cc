#include "model/packed_file.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "base/checksum.h"
#include "model/golden_case.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

class Packed : public testing::TestWithParam<const char*> {
 protected:
  Packed()
      : folder_(fs::temp_directory_path() / fmt::format("quern_packed_{}", ::getpid())),
        source_(GoldenFolder() / GetParam() / "f32"),
        path_(folder_ / "weights.packed") {
    fs::create_directories(folder_);
  }
  ~Packed() override { fs::remove_all(folder_); }

  std::shared_ptr<const Checkpoint> Source() const {
    auto checkpoint = Checkpoint::Open(source_);
    EXPECT_TRUE(checkpoint.has_value()) << source_;
    return std::move(*checkpoint);
  }

  std::vector<std::byte> Bytes() const {
    std::ifstream file(path_, std::ios::binary);
    std::vector<char> chars((std::istreambuf_iterator<char>(file)), {});
    std::vector<std::byte> bytes(chars.size());
    std::memcpy(bytes.data(), chars.data(), chars.size());
    return bytes;
  }

  const fs::path folder_, source_, path_;
};

// Logits of some tokens.
std::vector<float> LogitsOf(std::shared_ptr<const Checkpoint> checkpoint, std::shared_ptr<const PackedFile> packed) {
  LoadOptions options;
  options.packed = std::move(packed);
  const auto model = Model::Load(std::move(checkpoint), options);
  EXPECT_TRUE(model.has_value()) << model.error().message();
  const auto pool = *KvPool::Create(**model, 2);
  const auto sequence = SequenceState::Create(*pool);
  EXPECT_TRUE(sequence->Reserve(7).has_value());
  ThreadPool threads(2);
  const auto activations = Activations::Create();
  const std::vector<TokenId> tokens = {1, 5, 3, 2, 8, 13, 21};
  const Segment segment{sequence.get(), tokens, LogitsFor::kAll};
  const auto result = (*model)->Forward({&segment, 1}, *activations, threads);
  EXPECT_TRUE(result.has_value());
  return {result->logits.begin(), result->logits.end()};
}

TEST_P(Packed, ComputesTheSameBits) {
  ASSERT_TRUE(WritePackedFile(*Source(), path_, {}).has_value());
  const auto packed = PackedFile::Open(path_, *Source());
  ASSERT_TRUE(packed.has_value()) << packed.error().message();
  EXPECT_TRUE((*packed)->CheckData({}).has_value());
  EXPECT_EQ(LogitsOf(Source(), *packed), LogitsOf(Source(), nullptr));
}

TEST_P(Packed, IsRefusedBesideAnotherCheckpoint) {
  ASSERT_TRUE(WritePackedFile(*Source(), path_, {}).has_value());
  const std::string other = std::string(GetParam()) == "qwen2_untied" ? "qwen3_moe_untied" : "qwen2_untied";
  const auto packed = PackedFile::Open(path_, **Checkpoint::Open(GoldenFolder() / other / "f32"));
  ASSERT_FALSE(packed.has_value());
  EXPECT_EQ(packed.error().code(), Code::kInvalidArgument);
  EXPECT_NE(packed.error().message().find("another checkpoint"), std::string::npos);
}

TEST_P(Packed, EveryByteOfHeaderIndexAndTrailerCounts) {
  ASSERT_TRUE(WritePackedFile(*Source(), path_, {}).has_value());
  auto bytes = Bytes();
  const auto whole = ParsePackedIndex(bytes);
  ASSERT_TRUE(whole.has_value());
  uint64_t end = 0;
  for (const PackedEntry& entry : whole->entries) end = std::max(end, entry.offset + entry.n_bytes);
  std::mt19937 random(1);
  for (size_t at = end; at < bytes.size(); at += 1 + random() % 7) {
    bytes[at] ^= static_cast<std::byte>(1U << (random() % 8));
    const auto parsed = ParsePackedIndex(bytes);
    // The trailer's eight unused bytes and the zeros before the index may hold anything.
    if (parsed.has_value()) {
      EXPECT_EQ(parsed->entries.size(), whole->entries.size());
    }
    bytes = Bytes();
  }
  for (size_t n = 0; n < bytes.size(); n += 1 + bytes.size() / 200) {
    EXPECT_FALSE(ParsePackedIndex(std::span(bytes).first(n)).has_value()) << n;
  }
}

TEST_P(Packed, CheckFindsAFlippedBitOfAnyMatrix) {
  ASSERT_TRUE(WritePackedFile(*Source(), path_, {}).has_value());
  const auto index = ParsePackedIndex(Bytes());
  ASSERT_TRUE(index.has_value());
  const PackedEntry& entry = index->entries[index->entries.size() / 2];
  {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(entry.offset + entry.n_bytes / 2));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(entry.offset + entry.n_bytes / 2));
    file.put(static_cast<char>(byte ^ 16));
  }
  const auto packed = PackedFile::Open(path_, *Source());
  ASSERT_TRUE(packed.has_value());
  const auto checked = (*packed)->CheckData({});
  ASSERT_FALSE(checked.has_value());
  EXPECT_NE(checked.error().message().find(entry.name), std::string::npos);
}

TEST_P(Packed, OfAnotherVersionIsNotCalledDamaged) {
  ASSERT_TRUE(WritePackedFile(*Source(), path_, {}).has_value());
  constexpr size_t kVersionAt = 8, kLayoutAt = 12;
  for (const size_t at : {kVersionAt, kLayoutAt}) {
    auto bytes = Bytes();
    bytes[at] ^= std::byte{3};  // 2 becomes 1, as older files have it; 1 becomes 2
    // Another version may sum and end differently too.
    for (size_t i = bytes.size() - 64; i < bytes.size(); ++i) bytes[i] = std::byte{0x5A};
    const auto index = ParsePackedIndex(bytes);
    ASSERT_FALSE(index.has_value());
    EXPECT_EQ(index.error().code(), Code::kUnsupported);
    EXPECT_NE(index.error().message().find("written by another version of quern"), std::string::npos);
    EXPECT_NE(index.error().message().find("pack the checkpoint again"), std::string::npos);
    EXPECT_EQ(index.error().message().find("damaged"), std::string::npos);
  }
}

// Bytes of format 2, layout 2. If this fails, files that users have would be read wrongly: raise kPackingVersion or
// packed_file.cc's kVersion, then change the sum here.
TEST(PackedFormat, ItsBytesChangeOnlyWithItsNumbers) {
  const fs::path path = fs::temp_directory_path() / fmt::format("quern_packed_pinned_{}", ::getpid());
  const std::pair<fs::path, uint64_t> kPinned[] = {
      {GoldenFolder() / "qwen3_moe_untied" / "bf16", 0x36cbdba98fbe3eb5},
      {"tests/golden/fp8/qwen3/fp8", 0xe62ec6c846ad73b3},
      {GgufFolder() / "qwen2_q4_k.gguf", 0xe74c7b2b88513477},
      {GgufFolder() / "qwen3_q6_k.gguf", 0x2d3be58af85ad437},
      {GgufFolder() / "qwen3moe_q5_k.gguf", 0x33054c1e1394284d},
      {GgufFolder() / "qwen3moe_q4_0.gguf", 0x435c1ec4fc2a8191},
      {GgufFolder() / "qwen3next_q8_0.gguf", 0x37f6d2449777d43f},
  };
  for (const auto& [source, expected] : kPinned) {
    const auto checkpoint = Checkpoint::Open(source);
    ASSERT_TRUE(checkpoint.has_value()) << source;
    ASSERT_TRUE(WritePackedFile(**checkpoint, path, {}).has_value());
    const uint64_t sum = ChecksumOf((*os::MappedFile::Open(path))->bytes());
    EXPECT_EQ(sum, expected) << source << " " << std::hex << sum;
  }
  fs::remove(path);
}

INSTANTIATE_TEST_SUITE_P(Architectures, Packed,
                         testing::Values("qwen2_untied", "qwen3_tied", "qwen3_moe_untied", "qwen3_next_untied"));

}  // namespace
}  // namespace quern::model
