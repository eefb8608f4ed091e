// FP8 checkpoints whose scales are missing, misplaced, misshapen or no numbers. That sound ones compute what they
// should is in model_golden_test.cc.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "kernels/dequantize.h"
#include "model/f8_scales.h"
#include "model/golden_case.h"
#include "model/stacked_experts.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

struct Raw {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

class F8Model : public testing::Test {
 protected:
  F8Model()
      : source_(GoldenCase("fp8_qwen3").published()),
        folder_(fs::temp_directory_path() / fmt::format("quern_f8_test_{}", ::getpid())) {
    fs::create_directories(folder_);
    fs::copy_file(source_ / "config.json", folder_ / "config.json", fs::copy_options::overwrite_existing);
    const auto checkpoint = *Checkpoint::Open(source_);
    for (const StoredTensor& tensor : checkpoint->tensors()) {
      const char* dtype = tensor.dtype == DType::kF8E4M3 ? "F8_E4M3" : tensor.dtype == DType::kBF16 ? "BF16" : "F32";
      tensors_[tensor.name] = {
          dtype, tensor.shape, {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()}};
    }
  }
  ~F8Model() override { fs::remove_all(folder_); }

  Result<std::unique_ptr<Model>> Load() const {
    boost::json::object header;
    std::string data;
    for (const auto& [name, tensor] : tensors_) {
      const size_t begin = data.size();
      data += tensor.bytes;
      header[name] = {{"dtype", tensor.dtype},
                      {"shape", boost::json::value_from(tensor.shape)},
                      {"data_offsets", boost::json::array{begin, data.size()}}};
    }
    const std::string text = boost::json::serialize(header);
    const uint64_t n = text.size();
    std::ofstream out(folder_ / "model.safetensors", std::ios::binary);
    out.write(reinterpret_cast<const char*>(&n), sizeof(n));
    out << text << data;
    out.close();
    return Model::Load(folder_);
  }

  void ExpectError(Code code, const std::string& what) const {
    const auto model = Load();
    ASSERT_FALSE(model.has_value()) << what;
    EXPECT_EQ(model.error().code(), code) << model.error().ToString();
    EXPECT_NE(model.error().message().find(what), std::string::npos) << model.error().ToString();
  }

  static void SetFloat(Raw& tensor, size_t index, float value) {
    std::memcpy(tensor.bytes.data() + index * sizeof(value), &value, sizeof(value));
  }

  static constexpr const char* kWeight = "model.layers.1.mlp.up_proj.weight";
  static constexpr const char* kScales = "model.layers.1.mlp.up_proj.weight_scale_inv";

  fs::path source_, folder_;
  std::map<std::string, Raw> tensors_;
};

TEST_F(F8Model, LoadsAndCountsItsBytes) {
  const auto model = Load();
  ASSERT_TRUE(model.has_value()) << model.error().ToString();
  int64_t n_parameters = 0;
  uint64_t n_bytes = 0, n_stored = 0;
  for (const TensorClassInfo& info : (*model)->DescribeTensors()) {
    n_parameters += info.n_parameters;
    n_bytes += info.n_bytes;
    if (info.name == "ffn" || info.name == "attention") {
      EXPECT_EQ(info.types, "f8_e4m3");
    }
  }
  for (const auto& [name, tensor] : tensors_) n_stored += tensor.bytes.size();
  EXPECT_EQ(n_parameters, (*model)->config().CountParameters());
  EXPECT_EQ(n_bytes, n_stored);
  EXPECT_GE((*model)->weight_bytes(), n_stored);  // packed groups of rows may be filled up
}

TEST_F(F8Model, RefusesScalesThatAreNoNumbers) {
  ASSERT_EQ(tensors_.at(kScales).shape, (std::vector<int64_t>{2, 2}));
  for (const float value : {NAN, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    SetFloat(tensors_.at(kScales), 2, value);
    ExpectError(Code::kInvalidArgument, fmt::format("tensor \"{}\"", kWeight));
    ExpectError(Code::kInvalidArgument, "the scale of block [1, 0] is");
  }
}

TEST_F(F8Model, RefusesScalesOfAnotherShapeOrType) {
  tensors_.at(kScales).shape = {4, 1};
  ExpectError(Code::kCorrupt, fmt::format("tensor \"{}\": expected shape [2, 2], got [4, 1]", kScales));
  tensors_.at(kScales) = {"F8_E4M3", {2, 2}, std::string(4, '\x38')};
  ExpectError(Code::kCorrupt, fmt::format("tensor \"{}\": type f8_e4m3, expected f32, f16 or bf16", kScales));
}

TEST_F(F8Model, RefusesAMatrixWithoutScales) {
  tensors_.erase(kScales);
  ExpectError(Code::kCorrupt, fmt::format("tensor \"{}\": type f8_e4m3 without its scales", kWeight));
}

TEST_F(F8Model, RefusesScalesWithoutAnF8Matrix) {
  Raw scales{"F32", {2, 2}, std::string(16, '\0')};
  tensors_["model.layers.0.no_such.weight_scale_inv"] = scales;
  ExpectError(Code::kCorrupt, "no place for: \"model.layers.0.no_such.weight_scale_inv\"");
  tensors_.erase("model.layers.0.no_such.weight_scale_inv");
  tensors_.at(kWeight) = {"BF16", {200, 144}, std::string(200 * 144 * 2, '\0')};
  ExpectError(Code::kCorrupt, fmt::format("tensor \"{}\": type bf16, but \"{}\" gives it", kWeight, kScales));
}

TEST_F(F8Model, TakesUnconvertedMatricesAndUnusedActivationScales) {
  tensors_.at(kWeight) = {"BF16", {200, 144}, std::string(200 * 144 * 2, '\0')};
  tensors_.erase(kScales);
  tensors_["model.layers.0.mlp.up_proj.activation_scale"] = {"F32", {1}, std::string(4, '\0')};
  const auto model = Load();
  EXPECT_TRUE(model.has_value()) << model.error().ToString();
}

// "...experts.gate_up_proj" and "...experts.gate_up_proj_scale_inv" as newer tools stack them.
std::vector<StoredTensor> Stacked(int64_t n_gate_rows, const std::vector<std::byte>& bytes) {
  const int64_t n_scales = (2 * n_gate_rows + 127) / 128;
  const auto view = [&](const std::string& suffix, DType dtype, std::vector<int64_t> shape) {
    StoredTensor tensor{.name = "model.layers.0.mlp.experts.gate_up_proj" + suffix, .dtype = dtype};
    tensor.shape = std::move(shape);
    tensor.bytes = std::span(bytes).first(*TensorBytes(dtype, tensor.shape));
    return tensor;
  };
  return {view("", DType::kF8E4M3, {2, 2 * n_gate_rows, 4}), view("_scale_inv", DType::kF32, {2, n_scales, 1})};
}

TEST(StackedF8Experts, ComeApartWithTheirScales) {
  const std::vector<std::byte> bytes(16384);
  const auto tensors = UnstackExperts(Stacked(256, bytes));
  ASSERT_TRUE(tensors.has_value()) << tensors.error().ToString();
  ASSERT_EQ(tensors->size(), 8U);
  const auto& up = (*tensors)[7];
  EXPECT_EQ(up.name, "model.layers.0.mlp.experts.1.up_proj.weight_scale_inv");
  EXPECT_EQ(up.shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(up.bytes.data(), bytes.data() + size_t{6} * 4);
}

TEST(StackedF8Experts, AreRefusedWhenGateAndUpShareBlocks) {
  const std::vector<std::byte> bytes(16384);
  EXPECT_EQ(UnstackExperts(Stacked(100, bytes)).error().code(), Code::kUnsupported);
}

}  // namespace
}  // namespace quern::model
