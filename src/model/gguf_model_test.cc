// GGUF files of every weight type that is multiplied directly, against transformers with the same dequantised weights
// (tests/golden/gguf_model, tools/golden/make_gguf.py).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstring>

#include "base/json.h"
#include "kernels/dequantize.h"
#include "model/golden_case.h"
#include "model/safetensors.h"
#include "model/weights.h"

namespace quern::model {
namespace {

struct GgufCase {
  const char* name;
  const char* lm_head_types;  // as DescribeTensors reports the class
  // Root mean square of a row's differences, as a part of the logits' standard deviation; largest allowed for the
  // median row. f32 and f16 weights are multiplied with f32 activations; keys and values are f16 (2^-11 of each) unless
  // the file is f32. bf16 weights may meet bf16 activations (2^-9), the others always 8-bit ones (half of 1/127 of the
  // largest of 32 or 256): each matrix product then is off by about a percent.
  double tolerance;
  // Rows that may be off by more than three times that: where rounding exchanges one expert of two for another.
  int n_rerouted = 0;
};

// Median seen, the largest of all levels: f32 1e-6, f16 0.0004, bf16 0.003, q8_0 0.018, q4_0 0.019, q4_k 0.019,
// q5_k 0.017, q6_k 0.016; one row of q4_0 is rerouted.
const GgufCase kCases[] = {
    {"qwen3moe_f32", "f32", 3e-5},       {"qwen3_f16", "f16", 1e-3},         {"qwen2_bf16", "bf16", 0.01},
    {"qwen3moe_q8_0", "q8_0", 0.03, 2},  {"qwen3moe_q4_0", "q8_0", 0.03, 2}, {"qwen2_q4_k", "q6_k", 0.03},
    {"qwen3moe_q5_k", "q5_k", 0.03, 2},  {"qwen3_q6_k", "q6_k", 0.03},       {"qwen3next_q8_0", "q8_0", 0.03, 2},
    {"qwen3next_q4_k", "q6_k", 0.03, 2},
};

double StandardDeviation(std::span<const float> x) {
  double sum = 0, squares = 0;
  for (const float v : x) {
    sum += v;
    squares += double{v} * v;
  }
  const double n = static_cast<double>(x.size());
  return std::sqrt(squares / n - sum * sum / n / n);
}

// Per row, ascending.
std::vector<double> RowErrors(std::span<const float> seen, std::span<const float> expected, size_t n_rows) {
  const size_t n = expected.size() / n_rows;
  std::vector<double> out;
  for (size_t row = 0; row < n_rows; ++row) {
    double squares = 0;
    for (size_t i = row * n; i < (row + 1) * n; ++i) squares += std::pow(double{seen[i]} - expected[i], 2);
    out.push_back(std::sqrt(squares / static_cast<double>(n)) / StandardDeviation(expected));
  }
  std::ranges::sort(out);
  return out;
}

std::vector<float> Expected(const std::string& name) {
  const auto file = os::MappedFile::Open(GgufFolder() / "expected.safetensors");
  if (!file) return {};
  const auto parsed = ParseSafetensors((*file)->bytes(), "expected.safetensors");
  if (!parsed) return {};
  for (const StoredTensor& tensor : parsed->tensors) {
    if (tensor.name != name) continue;
    std::vector<float> out(static_cast<size_t>(tensor.n_elements()));
    std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
    return out;
  }
  return {};
}

std::vector<TokenId> Prompt(const std::string& name) {
  const auto text = os::ReadTextFile(GgufFolder() / "expected.json", 1 << 20);
  std::vector<TokenId> out;
  if (!text) return out;
  const auto facts = ParseJson(*text);
  if (!facts) return out;
  for (const auto& id : facts->at("files").at(name).at("prompt").as_array()) out.push_back(id.to_number<TokenId>());
  return out;
}

class GgufModel : public testing::TestWithParam<std::tuple<GgufCase, std::string>> {};

TEST_P(GgufModel, LogitsEqualThoseOfTheDequantisedWeights) {
  const auto& [file, isa] = GetParam();
  const ScopedIsa scoped(isa);
  Runner runner(GgufFolder() / (std::string(file.name) + ".gguf"));
  const std::vector<float> expected = Expected(file.name);
  const auto sequence = runner.NewSequence();
  const std::vector<TokenId> prompt = Prompt(file.name);
  ASSERT_FALSE(prompt.empty());
  const ForwardResult result = runner.Run(*sequence, prompt, LogitsFor::kAll);
  ASSERT_EQ(result.logits.size(), expected.size());
  const std::vector<double> errors = RowErrors(result.logits, expected, prompt.size());
  const double median = errors[errors.size() / 2];
  EXPECT_LE(median, file.tolerance);
  const auto n_off = std::ranges::count_if(errors, [&](double e) { return !(e <= 3 * file.tolerance); });
  EXPECT_LE(n_off, file.n_rerouted);
  fmt::print("{} {}: median row differs by {:.6f} of the logits' standard deviation, largest by {:.6f}\n", file.name,
             isa, median, errors.back());
}

TEST_P(GgufModel, DescribesItsTypes) {
  const auto& [file, isa] = GetParam();
  const Runner runner(GgufFolder() / (std::string(file.name) + ".gguf"));
  const bool tied = runner.model().config().tied_embeddings;
  int64_t n_parameters = 0;
  for (const TensorClassInfo& info : runner.model().DescribeTensors()) {
    n_parameters += info.n_parameters;
    if (info.name == (tied ? "embedding" : "lm_head")) {
      EXPECT_EQ(info.types, file.lm_head_types);
    }
    if (info.name == "router" || info.name == "norms") {
      EXPECT_EQ(info.types, "f32");
    }
  }
  EXPECT_EQ(n_parameters, runner.model().config().CountParameters());
}

// Tied, they come from the packed head.
TEST_P(GgufModel, EmbeddingRowsAreThoseOfTheFile) {
  const Runner runner(GgufFolder() / (std::string(std::get<0>(GetParam()).name) + ".gguf"));
  const ModelConfig& config = runner.model().config();
  const EmbeddingTable& embedding = runner.model().weights()->embedding;
  EXPECT_EQ(embedding.head.rows() > 0, config.tied_embeddings);
  const StoredTensor* stored = runner.model().checkpoint().Find("model.embed_tokens.weight");
  ASSERT_NE(stored, nullptr);
  const auto d_model = static_cast<size_t>(config.d_model);
  std::vector<float> seen(d_model), expected(d_model);
  for (TokenId id = 0; id < config.vocab; ++id) {
    embedding.Read(id, seen.data());
    const size_t row_bytes = RowBytes(stored->dtype, config.d_model);
    kernels::DequantizeRow(stored->dtype, stored->bytes.data() + static_cast<size_t>(id) * row_bytes, config.d_model,
                           expected.data());
    ASSERT_EQ(seen, expected) << "token " << id;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufModel,
                         testing::Combine(testing::ValuesIn(kCases), testing::ValuesIn(AvailableIsas())),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + "_" + std::get<1>(info.param);
                         });

}  // namespace
}  // namespace quern::model
