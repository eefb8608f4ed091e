// Damaged and hostile files of every format that Quern reads: each must end in an error that says so, or load and run.
// Whatever else happens (a crash, a hang, a sanitizer's report, memory beyond the limit) fails the program.
//
// QUERN_MUTATIONS: changed files per format, default 100; `make mutations` runs 2000 under AddressSanitizer.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/os/mapped_file.h"
#include "model/gguf.h"
#include "model/gguf_export.h"
#include "model/gguf_quantize.h"
#include "model/importance.h"
#include "model/model.h"
#include "model/packed_file.h"
#include "mutations/mutator.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary_gguf.h"

namespace quern::mutations {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxResidentMiB = 512;
constexpr size_t kMaxMessageBytes = 4096;

int MutationsPerFormat() {
  const char* text = std::getenv("QUERN_MUTATIONS");
  return text != nullptr ? std::atoi(text) : 100;
}

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteAll(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good()) << path;
}

// One token through the multi-token prediction head.
Result<void> RunHead(const model::Model& loaded, std::span<const float> hidden, model::Activations& activations,
                     ThreadPool& threads) {
  QUERN_ASSIGN(const auto pool, model::KvPool::CreateForMtp(loaded, 1));
  const auto sequence = model::SequenceState::Create(*pool);
  QUERN_TRY(sequence->Reserve(1));
  const std::vector<model::TokenId> tokens = {loaded.config().vocab - 1};
  const auto d_model = static_cast<size_t>(loaded.config().d_model);
  const model::MtpSegment segment{.sequence = sequence.get(), .tokens = tokens, .hidden = hidden.first(d_model)};
  QUERN_TRY(loaded.ForwardMtp({&segment, 1}, activations, threads));
  return {};
}

// Four tokens in two steps through the model. What it computes does not matter: weights may be anything now.
Result<void> RunModel(const model::Model& loaded) {
  QUERN_ASSIGN(const auto pool, model::KvPool::Create(loaded, 2));
  const auto sequence = model::SequenceState::Create(*pool);
  const auto activations = model::Activations::Create();
  ThreadPool threads(1);
  const std::vector<model::TokenId> tokens = {0, loaded.config().vocab - 1, loaded.config().vocab / 2};
  for (const size_t n : {tokens.size(), size_t{1}}) {
    QUERN_TRY(sequence->Reserve(static_cast<int>(n)));
    const model::Segment segment{.sequence = sequence.get(), .tokens = std::span(tokens).first(n)};
    QUERN_ASSIGN(const model::ForwardResult result, loaded.Forward({&segment, 1}, *activations, threads));
    if (loaded.has_mtp()) QUERN_TRY(RunHead(loaded, result.hidden, *activations, threads));
  }
  return {};
}

Result<void> TryTokenizer(Result<std::shared_ptr<const tokenizer::Tokenizer>> made) {
  if (!made.has_value()) return std::unexpected(std::move(made).error());
  const auto ids = (*made)->Encode("def f(x):\n    return 'käse' <|im_end|>");
  static_cast<void>((*made)->DecodeBytes(ids, true));
  return {};
}

// Everything that a program does with a checkpoint it was given.
Result<void> UseCheckpoint(const fs::path& path, const fs::path& scratch) {
  QUERN_ASSIGN(const std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));
  QUERN_ASSIGN(const auto loaded, model::Model::Load(checkpoint));
  QUERN_TRY(RunModel(*loaded));
  if (checkpoint->gguf() != nullptr && checkpoint->gguf()->Has("tokenizer.ggml.model")) {
    QUERN_ASSIGN(const model::GgufTokenizer found, model::ReadGgufTokenizer(*checkpoint->gguf()));
    QUERN_ASSIGN(tokenizer::VocabularySpec spec, tokenizer::SpecFromGguf({.model = found.model,
                                                                          .pre = found.pre,
                                                                          .tokens = found.tokens,
                                                                          .types = found.token_types,
                                                                          .merges = found.merges}));
    QUERN_TRY(TryTokenizer(tokenizer::Tokenizer::FromSpec(std::move(spec))));
  }
  ThreadPool threads(1);
  const auto written = model::WriteQuantized(*checkpoint, scratch, {.recipe = model::Recipe::kQ4_0}, threads);
  // Not everything that runs can be said in GGUF.
  if (!written.has_value() && written.error().code() != Code::kUnsupported) return std::unexpected(written.error());
  return {};
}

// A checkpoint with a packed file beside it.
Result<void> UsePacked(const fs::path& path, const fs::path& /*scratch*/) {
  QUERN_ASSIGN(const std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));
  QUERN_ASSIGN(const auto packed, model::PackedFile::Open(model::PackedPathOf(path), *checkpoint));
  model::LoadOptions options;
  options.packed = packed;
  QUERN_ASSIGN(const auto loaded, model::Model::Load(checkpoint, options));
  QUERN_TRY(RunModel(*loaded));
  return packed->CheckData({});
}

Result<void> UseTokenizerFile(const fs::path& path, const fs::path& /*scratch*/) {
  QUERN_ASSIGN(const std::string json, os::ReadTextFile(path, size_t{64} << 20));
  return TryTokenizer(tokenizer::Tokenizer::FromJson(json));
}

Result<void> UseImportance(const fs::path& path, const fs::path& /*scratch*/) {
  QUERN_TRY(model::ImportanceMatrix::Load(path));
  return {};
}

using Use = Result<void> (*)(const fs::path& path, const fs::path& scratch);

// One file to damage, and what is opened then: the file itself, or the folder it stands in.
struct Victim {
  fs::path file;
  fs::path opened;
  Kind kind;
  size_t header_bytes;
  Use use;
};

class MutationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::path(testing::TempDir()) / "quern_mutations_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path CopyOf(const fs::path& from) const {
    const auto n = std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
    const fs::path to = folder_ / (std::to_string(n) + "_" + from.filename().string());
    fs::copy(from, to, fs::copy_options::recursive);
    return to;
  }

  // A file of a copied checkpoint folder.
  Victim InFolder(const fs::path& checkpoint, const char* file, Kind kind) const {
    const fs::path copy = CopyOf(checkpoint);
    return {copy / file, copy, kind, 4096, UseCheckpoint};
  }

  Victim Alone(const fs::path& file, Kind kind, size_t header_bytes, Use use) const {
    const fs::path copy = CopyOf(file);
    return {copy, copy, kind, header_bytes, use};
  }

  // The checkpoint as a GGUF file of its own.
  Victim AsGguf(const fs::path& checkpoint, model::Recipe recipe,
                const model::GgufVocabularyKeys* vocabulary = nullptr) const {
    constexpr size_t kHead = 2048;
    const fs::path file = folder_ / ("written_" + std::string(model::RecipeName(recipe)) + ".gguf");
    ThreadPool threads(1);
    const auto opened = model::Checkpoint::Open(checkpoint);
    EXPECT_TRUE(opened.has_value()) << checkpoint;
    const auto written = model::WriteQuantized(**opened, file, {.recipe = recipe, .vocabulary = vocabulary}, threads);
    EXPECT_TRUE(written.has_value()) << written.error().ToString();
    return {file, file, Kind::kBinary, kHead, UseCheckpoint};
  }

  // Shares MutationsPerFormat() among the victims; each of them must load as it is.
  void Damage(const char* format, const std::vector<Victim>& victims) {
    int errors = 0;
    int runs = 0;
    std::mt19937_64 random(20261121);
    const fs::path scratch = folder_ / "written.gguf";
    const int each = MutationsPerFormat() / static_cast<int>(victims.size()) + 1;
    for (const Victim& victim : victims) {
      const std::string seed = ReadAll(victim.file);
      const auto whole = victim.use(victim.opened, scratch);
      ASSERT_TRUE(whole.has_value()) << victim.file << ": " << whole.error().ToString();
      for (int i = 0; i < each; ++i) {
        WriteAll(victim.file, Mutate(seed, victim.kind, victim.header_bytes, random));
        const auto result = victim.use(victim.opened, scratch);
        result.has_value() ? ++runs : ++errors;
        if (result.has_value()) continue;
        ASSERT_FALSE(result.error().message().empty());
        ASSERT_LT(result.error().message().size(), kMaxMessageBytes) << result.error().message().substr(0, 400);
        ASSERT_NE(result.error().code(), Code::kInternal) << result.error().message();
      }
      WriteAll(victim.file, seed);
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    std::printf("%-12s %d changed files: %d end in an error, %d load and run; %ld MiB at most\n", format, errors + runs,
                errors, runs, usage.ru_maxrss / 1024);
    EXPECT_GT(errors, 0);
    // Of an index of shards one change in a hundred does no harm.
    if (errors + runs >= 1000) {
      EXPECT_GT(runs, 0) << "no changed file was let through: the changes are too coarse";
    }
    EXPECT_LT(usage.ru_maxrss / 1024, kMaxResidentMiB);
  }

  fs::path folder_;
};

const fs::path kGoldens = "tests/golden/model";

// A vocabulary of 256 tokens, as many as qwen3_next_untied has.
model::GgufVocabularyKeys EveryByte() {
  const auto text = os::ReadTextFile("tests/fuzz/corpus/tokenizer_json/bytes_only.json", size_t{1} << 20);
  const auto json = ParseJson(text.value()).value();
  model::GgufVocabularyKeys keys;
  const auto& tokens = json.at("model").at("vocab").as_object();
  keys.tokens.resize(tokens.size());
  keys.token_types.assign(tokens.size(), 1);
  for (const auto& [name, id] : tokens) keys.tokens[id.to_number<size_t>()] = name;
  return keys;
}

TEST_F(MutationsTest, Safetensors) {
  Damage("safetensors",
         {InFolder(kGoldens / "qwen2_untied" / "bf16", "model-00002-of-00002.safetensors", Kind::kSafetensors),
          InFolder(kGoldens / "qwen3_tied" / "bf16", "model.safetensors", Kind::kSafetensors),
          InFolder(kGoldens / "qwen3_moe_tied" / "bf16", "model.safetensors", Kind::kSafetensors),
          InFolder(kGoldens / "qwen3_next_untied" / "bf16", "model.safetensors", Kind::kSafetensors)});
}

TEST_F(MutationsTest, MultiTokenPrediction) {
  Damage("mtp", {InFolder("tests/golden/mtp/f32", "model.safetensors", Kind::kSafetensors),
                 AsGguf("tests/golden/mtp/f32", model::Recipe::kF32)});
}

TEST_F(MutationsTest, Fp8) {
  const fs::path folder = "tests/golden/fp8";
  Damage("fp8", {InFolder(folder / "qwen3" / "fp8", "model.safetensors", Kind::kSafetensors),
                 InFolder(folder / "qwen3_moe" / "fp8", "model-00001-of-00003.safetensors", Kind::kSafetensors),
                 InFolder(folder / "qwen3_next" / "fp8", "model-00002-of-00002.safetensors", Kind::kSafetensors),
                 InFolder(folder / "qwen3" / "fp8", "config.json", Kind::kJson)});
}

TEST_F(MutationsTest, ShardIndex) {
  constexpr const char* kIndex = "model.safetensors.index.json";
  Damage("shard index", {InFolder(kGoldens / "qwen3_moe_untied" / "bf16", kIndex, Kind::kJson),
                         InFolder(kGoldens / "qwen3_next_tied" / "bf16", kIndex, Kind::kJson),
                         InFolder("tests/golden/fp8/qwen3_moe/fp8", kIndex, Kind::kJson)});
}

TEST_F(MutationsTest, Gguf) {
  constexpr size_t kHead = 2048;
  Damage("gguf", {Alone("tests/golden/gguf_model/qwen3moe_q4_0.gguf", Kind::kBinary, kHead, UseCheckpoint),
                  Alone("tests/golden/gguf_model/qwen2_bf16.gguf", Kind::kBinary, kHead, UseCheckpoint),
                  Alone("tests/golden/gguf_model/qwen3_q6_k.gguf", Kind::kBinary, kHead, UseCheckpoint)});
}

TEST_F(MutationsTest, GgufNext) {
  constexpr size_t kHead = 2048;
  Damage("gguf next", {Alone("tests/golden/gguf_model/qwen3next_q8_0.gguf", Kind::kBinary, kHead, UseCheckpoint),
                       Alone("tests/golden/gguf_model/qwen3next_q4_k.gguf", Kind::kBinary, kHead, UseCheckpoint),
                       AsGguf("tests/golden/fp8/qwen3_next/fp8", model::Recipe::kBF16)});
}

TEST_F(MutationsTest, GgufTokenizer) {
  const model::GgufVocabularyKeys vocabulary = EveryByte();
  Victim victim = AsGguf(kGoldens / "qwen3_next_untied" / "bf16", model::Recipe::kBF16, &vocabulary);
  victim.header_bytes = 8192;
  Damage("gguf tokens", {victim});
}

TEST_F(MutationsTest, GgufBlockTypes) {
  const fs::path source = "tests/golden/gguf_model/qwen2_q4_k.gguf";
  Damage("gguf types", {AsGguf(source, model::Recipe::kQ2K), AsGguf(source, model::Recipe::kQ3KM),
                        AsGguf(source, model::Recipe::kIQ4NL), AsGguf(source, model::Recipe::kQ5KM)});
}

TEST_F(MutationsTest, Packed) {
  std::vector<Victim> victims;
  for (const fs::path& source :
       {kGoldens / "qwen3_moe_tied" / "bf16", kGoldens / "qwen3_next_untied" / "bf16",
        fs::path("tests/golden/fp8/qwen3/fp8"), fs::path("tests/golden/gguf_model/qwen2_q4_k.gguf")}) {
    const fs::path copy = CopyOf(source);
    const fs::path file = model::PackedPathOf(copy);
    const auto checkpoint = model::Checkpoint::Open(copy);
    ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().ToString();
    ASSERT_TRUE(model::WritePackedFile(**checkpoint, file, {}).has_value());
    victims.push_back({file, copy, Kind::kPacked, 0, UsePacked});
  }
  Damage("packed", victims);
}

TEST_F(MutationsTest, Config) {
  Damage("config json", {InFolder(kGoldens / "qwen2_untied" / "bf16", "config.json", Kind::kJson),
                         InFolder(kGoldens / "qwen3_next_tied" / "bf16", "config.json", Kind::kJson),
                         InFolder(kGoldens / "qwen3_yarn" / "bf16", "config.json", Kind::kJson),
                         InFolder("tests/golden/mtp/f32", "config.json", Kind::kJson)});
}

TEST_F(MutationsTest, GenerationConfig) {
  Victim victim = InFolder(kGoldens / "qwen3_tied" / "bf16", "generation_config.json", Kind::kJson);
  WriteAll(victim.file, R"({"do_sample": true, "eos_token_id": [151645, 151643], "pad_token_id": 151643,
    "repetition_penalty": 1.05, "temperature": 0.7, "top_k": 20, "top_p": 0.8})");
  Damage("generation", {victim});
}

TEST_F(MutationsTest, TokenizerJson) {
  Damage("tokenizer", {Alone("models/demo/tokenizer.json", Kind::kJson, 0, UseTokenizerFile),
                       Alone("tests/fuzz/corpus/tokenizer_json/merges.json", Kind::kJson, 0, UseTokenizerFile),
                       Alone("tests/fuzz/corpus/tokenizer_json/bytes_only.json", Kind::kJson, 0, UseTokenizerFile)});
}

TEST_F(MutationsTest, ImportanceMatrix) {
  model::ImportanceMatrix matrix;
  for (const char* name : {"blk.0.attn_q.weight", "blk.1.ffn_down_exps.weight"}) {
    matrix.Set(name, {.n_experts = 4, .mean_squares = std::vector<float>(256, 0.5F)});
  }
  const fs::path file = folder_ / "imatrix";
  ASSERT_TRUE(matrix.Save(file).has_value());
  Damage("imatrix", {{file, file, Kind::kBinary, 256, UseImportance}});
}

}  // namespace
}  // namespace quern::mutations
