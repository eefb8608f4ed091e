// For tests: a small model computed the plain way, straight from the published formulas, at chosen positions of a long
// sequence. It shares no code with the forward pass but the table of rotary angles, which rope_test.cc holds against
// its formula: no kernels, no pages, no batches; sums are in double.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/config.h"
#include "model/rope.h"

namespace quern::model {

using TestTensors = std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>>;

// A checkpoint small enough that a million tokens go through it in minutes: one layer of attention, and for qwen3_next
// a DeltaNet layer before it. Random weights; YaRN to 1,048,576 tokens.
struct TinyCheckpoint {
  std::string config_json;
  TestTensors tensors;

  static TinyCheckpoint Make(Architecture architecture, uint32_t seed);
  // config.json and model.safetensors.
  void Write(const std::filesystem::path& folder) const;
};

// Computes TinyCheckpoint's models: at most one attention layer, the last. Everything before it is computed for all
// tokens; attention, which would take time in the square of the length, and what follows it at the asked positions
// only.
class PlainModel {
 public:
  explicit PlainModel(const TinyCheckpoint& checkpoint);

  // [positions.size()][vocab]; positions ascend.
  std::vector<std::vector<double>> Logits(std::span<const int> tokens, std::span<const int> positions) const;

 private:
  using Row = std::vector<double>;

  const std::vector<float>& Weight(const std::string& name) const { return tensors_.at(name).second; }
  Row Product(const std::string& name, const Row& x) const;
  Row Norm(const std::string& name, const Row& x) const;       // over all of x
  Row NormHeads(const std::string& name, const Row& x) const;  // over each head_dim
  void Rotate(Row& heads, int position) const;
  Row SwiGlu(const std::string& prefix, const Row& x) const;
  Row Ffn(int layer, const Row& x) const;
  void RunDeltaNet(int layer, std::vector<Row>& xs) const;
  Row Attend(const Row& q, const std::vector<float>& k, const std::vector<float>& v, int position) const;
  std::vector<Row> AttentionAt(int layer, const std::vector<Row>& xs, std::span<const int> positions) const;

  ModelConfig config_;
  RopeTable rope_;
  const TestTensors& tensors_;
};

}  // namespace quern::model
