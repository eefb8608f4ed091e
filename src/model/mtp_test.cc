// The multi-token prediction head against a plain computation (tests/golden/mtp, tools/golden/make_mtp.py), and what a
// checkpoint with an incomplete one is told.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstring>

#include "base/json.h"
#include "kernels/ops.h"
#include "model/gguf_quantize.h"
#include "model/golden_case.h"
#include "model/packed_file.h"
#include "model/safetensors.h"
#include "model/work.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = "tests/golden/mtp";

std::vector<float> Expected(const std::string& name) {
  const auto file = os::MappedFile::Open(kFolder / "expected.safetensors").value();
  const SafetensorsFile parsed = ParseSafetensors(file->bytes(), "expected.safetensors").value();
  for (const StoredTensor& tensor : parsed.tensors) {
    if (tensor.name != name) continue;
    std::vector<float> out(static_cast<size_t>(tensor.n_elements()));
    std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
    return out;
  }
  return {};
}

std::vector<TokenId> ExpectedTokens(const char* name) {
  const std::string text = os::ReadTextFile(kFolder / "expected.json", 1 << 20).value();
  const auto facts = ParseJson(text).value();
  std::vector<TokenId> out;
  for (const auto& id : facts.at(name).as_array()) out.push_back(id.to_number<TokenId>());
  return out;
}

// The largest difference as a part of the expected values' standard deviation.
double Distance(std::span<const float> seen, std::span<const float> expected) {
  EXPECT_EQ(seen.size(), expected.size());
  double sum = 0, squares = 0, largest = 0;
  for (size_t i = 0; i < std::min(seen.size(), expected.size()); ++i) {
    sum += expected[i];
    squares += double{expected[i]} * expected[i];
    const double off = std::fabs(double{seen[i]} - expected[i]);
    if (!(off <= largest)) largest = off;  // NaN counts as large
  }
  const auto n = static_cast<double>(expected.size());
  return largest / std::sqrt(squares / n - sum * sum / n / n);
}

// Rows of the head, with a pool of its own.
class HeadRunner {
 public:
  explicit HeadRunner(const Model& model, int n_threads = 1)
      : model_(model),
        kv_(KvPool::CreateForMtp(model, 8).value()),
        activations_(Activations::Create()),
        threads_(n_threads) {}

  std::unique_ptr<SequenceState> NewSequence() { return SequenceState::Create(*kv_); }

  ForwardResult Run(SequenceState& sequence, std::span<const TokenId> tokens, std::span<const float> hidden) {
    EXPECT_TRUE(sequence.Reserve(static_cast<int>(tokens.size())).has_value());
    const MtpSegment segment{.sequence = &sequence, .tokens = tokens, .hidden = hidden, .logits = LogitsFor::kAll};
    return model_.ForwardMtp({&segment, 1}, *activations_, threads_).value();
  }

  // Logits of all rows, run in pieces of the given sizes (the last size repeats).
  std::vector<float> RunInPieces(std::span<const TokenId> tokens, std::span<const float> hidden,
                                 const std::vector<size_t>& sizes) {
    const auto sequence = NewSequence();
    const auto d_model = static_cast<size_t>(model_.config().d_model);
    std::vector<float> out;
    for (size_t at = 0, piece = 0; at < tokens.size(); ++piece) {
      const size_t n = std::min(tokens.size() - at, sizes[std::min(piece, sizes.size() - 1)]);
      const auto result = Run(*sequence, tokens.subspan(at, n), hidden.subspan(at * d_model, n * d_model));
      out.insert(out.end(), result.logits.begin(), result.logits.end());
      at += n;
    }
    return out;
  }

  KvPool& kv() { return *kv_; }

 private:
  const Model& model_;
  std::unique_ptr<KvPool> kv_;
  std::unique_ptr<Activations> activations_;
  ThreadPool threads_;
};

class Mtp : public testing::TestWithParam<std::string> {
 protected:
  Mtp() : isa_(GetParam()), runner_(kFolder / "f32"), prompt_(ExpectedTokens("prompt")) {
    drafts_ = ExpectedTokens("drafts");
    following_.assign(prompt_.begin() + 1, prompt_.end());
    following_.push_back(drafts_.front());
  }

 private:
  const ScopedIsa isa_;

 protected:
  Runner runner_;
  std::vector<TokenId> prompt_, drafts_;
  std::vector<TokenId> following_;  // of each of the prompt's tokens the next
};

TEST_P(Mtp, DraftsAsThePlainComputationFromTheModelsOwnHiddenStates) {
  const auto d_model = static_cast<size_t>(runner_.model().config().d_model);
  const auto vocab = static_cast<size_t>(runner_.model().config().vocab);
  const auto sequence = runner_.NewSequence();
  const ForwardResult model = runner_.Run(*sequence, prompt_, LogitsFor::kLast);
  EXPECT_EQ(static_cast<TokenId>(kernels::ArgMax(model.logits)), drafts_.front());
  EXPECT_LE(Distance(model.hidden, Expected("hidden")), 1e-4);

  HeadRunner head(runner_.model());
  const auto draft = head.NewSequence();
  std::vector<float> logits, hidden;
  const auto keep = [&](const ForwardResult& result) {
    logits.insert(logits.end(), result.logits.begin(), result.logits.end());
    hidden.insert(hidden.end(), result.hidden.begin(), result.hidden.end());
  };
  keep(head.Run(*draft, following_, model.hidden));
  for (size_t i = 1; i + 1 < drafts_.size(); ++i) {
    EXPECT_EQ(static_cast<TokenId>(kernels::ArgMax(std::span(logits).last(vocab))), drafts_[i]);
    const std::vector<float> last(hidden.end() - static_cast<ptrdiff_t>(d_model), hidden.end());
    keep(head.Run(*draft, std::span(drafts_).subspan(i, 1), last));
  }
  EXPECT_EQ(static_cast<TokenId>(kernels::ArgMax(std::span(logits).last(vocab))), drafts_.back());
  const double off_hidden = Distance(hidden, Expected("mtp_hidden")), off = Distance(logits, Expected("mtp_logits"));
  EXPECT_LE(off_hidden, 1e-4);
  EXPECT_LE(off, 1e-4);
  fmt::print("mtp {}: hidden within {:.1e}, logits within {:.1e} of the spread\n", GetParam(), off_hidden, off);
}

TEST_P(Mtp, HowRowsAreCutAndTheNumberOfThreadsChangeNoBit) {
  const std::vector<float> hidden = Expected("hidden");
  HeadRunner head(runner_.model());
  const std::vector<float> whole = head.RunInPieces(following_, hidden, {following_.size()});
  for (const std::vector<size_t>& sizes : std::vector<std::vector<size_t>>{{1}, {32}, {7, 31, 2}}) {
    EXPECT_EQ(head.RunInPieces(following_, hidden, sizes), whole);
  }
  HeadRunner threads(runner_.model(), 3);
  EXPECT_EQ(threads.RunInPieces(following_, hidden, {40, 1}), whole);
}

TEST_P(Mtp, TheResultOfTheLastPassOnTheSameScratchMayBeItsInput) {
  const auto activations = Activations::Create();
  ThreadPool threads(1);
  const auto sequence = runner_.NewSequence();
  ASSERT_TRUE(sequence->Reserve(static_cast<int>(prompt_.size())).has_value());
  const Segment segment{.sequence = sequence.get(), .tokens = prompt_, .logits = LogitsFor::kNone};
  const auto hidden = runner_.model().Forward({&segment, 1}, *activations, threads)->hidden;
  const std::vector<float> copied(hidden.begin(), hidden.end());
  HeadRunner head(runner_.model());
  const auto draft = head.NewSequence();
  ASSERT_TRUE(draft->Reserve(static_cast<int>(prompt_.size())).has_value());
  const MtpSegment rows{draft.get(), following_, hidden, LogitsFor::kAll};
  const auto in_place = runner_.model().ForwardMtp({&rows, 1}, *activations, threads);
  ASSERT_TRUE(in_place.has_value());
  const std::vector<float> seen(in_place->logits.begin(), in_place->logits.end());
  EXPECT_EQ(seen, head.RunInPieces(following_, copied, {following_.size()}));
}

INSTANTIATE_TEST_SUITE_P(All, Mtp, testing::ValuesIn(AvailableIsas()), [](const auto& info) { return info.param; });

// One layer's keys and values, no states: sequences of the head can be cut.
TEST(MtpPool, HoldsOneLayerAndItsSequencesCanBeCut) {
  Runner runner(kFolder / "f32");
  HeadRunner head(runner.model());
  const ModelConfig& c = runner.model().config();
  EXPECT_EQ(head.kv().bytes_total(), size_t{8} * kKvPageTokens * 2 * static_cast<size_t>(c.n_kv_heads * 32) * 4);
  EXPECT_EQ(head.kv().state_bytes_per_sequence(), 0U);
  const std::vector<float> hidden = Expected("hidden");
  const std::vector<TokenId> prompt = ExpectedTokens("prompt");
  const auto d_model = static_cast<size_t>(c.d_model);
  const auto sequence = head.NewSequence();
  const auto first = [&](size_t from, size_t n) {
    const auto result =
        head.Run(*sequence, std::span(prompt).subspan(from, n), std::span(hidden).subspan(from * d_model, n * d_model));
    return std::vector<float>(result.logits.begin(), result.logits.end());
  };
  first(0, 40);
  const std::vector<float> once = first(40, 5);
  ASSERT_TRUE(sequence->Truncate(40).has_value());
  EXPECT_EQ(first(40, 5), once);
}

TEST(MtpPool, IsRefusedForAModelWithoutTheHead) {
  Runner runner(GoldenFolder() / "qwen3_next_untied" / "f32");
  EXPECT_FALSE(runner.model().has_mtp());
  EXPECT_EQ(KvPool::CreateForMtp(runner.model(), 1).error().code(), Code::kUnsupported);
  const auto activations = Activations::Create();
  ThreadPool threads(1);
  EXPECT_EQ(runner.model().ForwardMtp({}, *activations, threads).error().code(), Code::kUnsupported);
}

TEST(MtpForward, NamesWhatIsWrong) {
  Runner runner(kFolder / "f32");
  HeadRunner head(runner.model());
  const auto sequence = head.NewSequence();
  ASSERT_TRUE(sequence->Reserve(4).has_value());
  const std::vector<float> hidden(64);
  const std::vector<TokenId> two = {1, 2}, high = {1, 64};
  const auto activations = Activations::Create();
  ThreadPool threads(1);
  const auto error_of = [&](std::span<const TokenId> tokens, std::span<const float> states) {
    const MtpSegment segment{.sequence = sequence.get(), .tokens = tokens, .hidden = states};
    return runner.model().ForwardMtp({&segment, 1}, *activations, threads).error().message();
  };
  EXPECT_EQ(error_of(two, std::span(hidden).first(32)), "forward: 32 hidden values for 2 tokens, expected 32 each");
  EXPECT_EQ(error_of(high, hidden), "forward: token id 64, expected 0 to 63");
  EXPECT_EQ(error_of({}, {}), "forward: segment 0 is empty");
  EXPECT_EQ(sequence->n_tokens(), 0);
}

// The checkpoint again, changed, in a folder that is removed at the end.
class MtpLoad : public testing::Test {
 protected:
  MtpLoad() : folder_(fs::temp_directory_path() / fmt::format("quern_mtp_{}", ::getpid())) {
    const auto checkpoint = Checkpoint::Open(kFolder / "f32").value();
    for (const StoredTensor& tensor : checkpoint->tensors()) {
      std::vector<float> values(static_cast<size_t>(tensor.n_elements()));
      std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
      tensors_[tensor.name] = {tensor.shape, std::move(values)};
    }
    fs::create_directories(folder_);
    fs::copy(kFolder / "f32" / "config.json", folder_ / "config.json");
  }
  ~MtpLoad() override { fs::remove_all(folder_); }

  Result<std::unique_ptr<Model>> Load() {
    WriteSafetensors(folder_ / "model.safetensors", tensors_);
    return Model::Load(folder_);
  }

  static bool IsPart(const std::string& name) { return name.starts_with("mtp."); }

  const fs::path folder_;
  std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>> tensors_;
};

TEST_F(MtpLoad, AnIncompleteHeadIsRefusedByTheNameOfWhatIsMissing) {
  const auto complete = tensors_;
  int n = 0;
  for (const auto& [name, tensor] : complete) {
    if (!IsPart(name)) continue;
    tensors_ = complete;
    tensors_.erase(name);
    const auto model = Load();
    ASSERT_FALSE(model.has_value()) << name;
    EXPECT_EQ(model.error().code(), Code::kCorrupt);
    EXPECT_NE(model.error().message().find("multi-token prediction head"), std::string::npos);
    EXPECT_NE(model.error().message().find(fmt::format("\"{}\" is missing", name)), std::string::npos)
        << model.error().message();
    ++n;
  }
  EXPECT_GT(n, 20);
}

TEST_F(MtpLoad, AnUnknownPartIsRefused) {
  tensors_["mtp.layers.1.input_layernorm.weight"] = {{32}, std::vector<float>(32)};
  const auto model = Load();
  ASSERT_FALSE(model.has_value());
  EXPECT_NE(model.error().message().find("has no place for: \"mtp.layers.1.input_layernorm.weight\""),
            std::string::npos);
}

TEST_F(MtpLoad, TheOtherPrefixIsReadToo) {
  auto renamed = tensors_;
  for (auto& [name, tensor] : tensors_) {
    if (!IsPart(name)) continue;
    renamed.erase(name);
    renamed["model." + name] = tensor;
  }
  tensors_ = renamed;
  const auto model = Load();
  ASSERT_TRUE(model.has_value()) << model.error().ToString();
  EXPECT_TRUE((*model)->has_mtp());
}

TEST_F(MtpLoad, ACheckpointWithoutTheHeadLoadsWithout) {
  std::erase_if(tensors_, [](const auto& entry) { return IsPart(entry.first); });
  const auto model = Load();
  ASSERT_TRUE(model.has_value()) << model.error().ToString();
  EXPECT_FALSE((*model)->has_mtp());
  EXPECT_EQ((*model)->config().n_mtp_layers, 0);
}

// What plans and reports count: the head's bytes are weights, but no step of the model reads them.
TEST_F(MtpLoad, ItsBytesAreCounted) {
  uint64_t bytes = 0;
  int64_t n_parameters = 0;
  for (const auto& [name, tensor] : tensors_) {
    if (!IsPart(name)) continue;
    bytes += tensor.second.size() * sizeof(float);
    n_parameters += static_cast<int64_t>(tensor.second.size());
  }
  const auto with = Load();
  ASSERT_TRUE(with.has_value()) << with.error().ToString();
  const uint64_t all = (*with)->checkpoint().n_bytes(), in_memory = (*with)->weight_bytes();
  const ModelWork work = WorkOf((*with)->checkpoint());
  const auto classes = (*with)->DescribeTensors();
  const auto mtp = std::ranges::find(classes, "mtp", &TensorClassInfo::name);
  ASSERT_NE(mtp, classes.end());
  EXPECT_EQ(mtp->n_bytes, bytes);
  EXPECT_EQ(mtp->n_parameters, n_parameters);
  std::erase_if(tensors_, [](const auto& entry) { return IsPart(entry.first); });
  const auto without = Load();
  EXPECT_EQ(all - (*without)->checkpoint().n_bytes(), bytes);
  EXPECT_GE(in_memory - (*without)->weight_bytes(), bytes);
  EXPECT_EQ(work.dense.bytes, WorkOf((*without)->checkpoint()).dense.bytes);
  EXPECT_EQ(work.experts.bytes, WorkOf((*without)->checkpoint()).experts.bytes);
}

TEST_F(MtpLoad, APackedFileHoldsItsMatricesToo) {
  const std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::Open(kFolder / "f32").value();
  const fs::path path = folder_ / "weights.packed";
  ASSERT_TRUE(WritePackedFile(*checkpoint, path, {}).has_value());
  const auto packed = PackedFile::Open(path, *checkpoint).value();
  EXPECT_GT(packed->MatrixOf("mtp.fc.weight", DType::kF32, 32, 64).rows(), 0);
  EXPECT_GT(packed->MatrixOf("mtp.layers.0.mlp.experts.3.up_proj.weight", DType::kF32, 16, 32).rows(), 0);
}

TEST_F(MtpLoad, WrittenAsGgufItComputesTheSame) {
  const auto source = Checkpoint::Open(kFolder / "f32").value();
  const fs::path path = folder_ / "mtp.gguf", again = folder_ / "again.gguf";
  ThreadPool threads(1);
  const auto report = WriteQuantized(*source, path, {.recipe = Recipe::kF32}, threads);
  ASSERT_TRUE(report.has_value()) << report.error().ToString();
  EXPECT_TRUE(report->left_out.empty());
  ASSERT_TRUE(WriteQuantized(*Checkpoint::Open(path).value(), again, {.recipe = Recipe::kF32}, threads).has_value());
  const auto logits = [](const fs::path& checkpoint) {
    const auto model = Model::Load(checkpoint).value();
    const std::vector<TokenId> tokens = ExpectedTokens("prompt");
    return HeadRunner(*model).RunInPieces(tokens, Expected("hidden"), {tokens.size()});
  };
  const std::vector<float> expected = logits(kFolder / "f32");
  EXPECT_EQ(logits(path), expected);
  EXPECT_EQ(logits(again), expected);
}

}  // namespace
}  // namespace quern::model
