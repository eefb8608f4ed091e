#include "model/golden_case.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <sstream>

#include "base/check.h"
#include "base/json.h"
#include "kernels/dequantize.h"
#include "kernels/dispatch.h"
#include "kernels/ops.h"
#include "model/checkpoint.h"
#include "model/f8_scales.h"
#include "model/safetensors.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFp8Prefix = "fp8_";

template <typename T>
T Must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().ToString());
    std::abort();
  }
  return std::move(*result);
}

template <typename T>
std::vector<T> Numbers(const boost::json::value& value) {
  std::vector<T> out;
  for (const boost::json::value& v : value.as_array()) out.push_back(v.to_number<T>());
  return out;
}

}  // namespace

GoldenCase::GoldenCase(const std::string& name)
    : name_(name),
      is_fp8_(name.starts_with(kFp8Prefix)),
      folder_(is_fp8_ ? fs::path("tests/golden/fp8") / name.substr(kFp8Prefix.size()) : GoldenFolder() / name) {
  const std::string text = Must(os::ReadTextFile(folder_ / "expected.json", size_t{4} << 20));
  const boost::json::value facts = Must(ParseJson(text));
  for (const auto& prompt : facts.at("prompts").as_array()) prompts_.push_back(Numbers<TokenId>(prompt));
  for (const auto& greedy : facts.at("greedy").as_array()) {
    greedy_.push_back({.prompt = Numbers<TokenId>(greedy.at("prompt")),
                       .f32_ids = Numbers<TokenId>(greedy.at("f32")),
                       .bf16_ids = Numbers<TokenId>(greedy.at("bf16")),
                       .bf16_margin = Numbers<float>(greedy.at("bf16_margin")),
                       .bf16_rounding = Numbers<float>(greedy.at("bf16_rounding")),
                       .router_close = Numbers<int>(greedy.at("router_close"))});
  }
  bf16_hidden_difference_ = Numbers<float>(facts.at("bf16_hidden_difference"));
  bf16_logit_difference_ = facts.at("bf16_logit_difference").to_number<float>();
  for (const std::vector<TokenId>& prompt : prompts_) bf16_difference_rows_ += static_cast<int>(prompt.size());
  if (const auto* rows = facts.as_object().if_contains("bf16_difference_rows")) {
    bf16_difference_rows_ = rows->to_number<int>();
    bf16_hidden_rms_ = Numbers<float>(facts.at("bf16_hidden_rms"));
    bf16_logit_rms_ = facts.at("bf16_logit_rms").to_number<float>();
  }
  if (const auto* forms = facts.as_object().if_contains("f32_forms_difference")) {
    f32_forms_difference_ = forms->to_number<float>();
  }
  file_ = Must(os::MappedFile::Open(folder_ / "expected.safetensors"));
  tensors_ = Must(ParseSafetensors(file_->bytes(), "expected.safetensors")).tensors;
}

const StoredTensor& GoldenCase::Find(const std::string& name) const {
  const auto it = std::ranges::find(tensors_, name, &StoredTensor::name);
  QUERN_CHECK(it != tensors_.end());
  return *it;
}

std::vector<float> GoldenCase::Floats(const std::string& name) const {
  const StoredTensor& tensor = Find(name);
  QUERN_CHECK(tensor.dtype == DType::kF32);
  std::vector<float> out(static_cast<size_t>(tensor.n_elements()));
  std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
  return out;
}

std::vector<int32_t> GoldenCase::HiddenRows() const {
  if (std::ranges::find(tensors_, "hidden_rows", &StoredTensor::name) != tensors_.end()) return Integers("hidden_rows");
  size_t n = 0;
  for (const std::vector<TokenId>& prompt : prompts_) n += prompt.size();
  std::vector<int32_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::vector<int32_t> GoldenCase::Integers(const std::string& name) const {
  const StoredTensor& tensor = Find(name);
  QUERN_CHECK(tensor.dtype == DType::kI32);
  std::vector<int32_t> out(static_cast<size_t>(tensor.n_elements()));
  std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
  return out;
}

fs::path GoldenFolder() { return "tests/golden/model"; }

fs::path GgufFolder() { return "tests/golden/gguf_model"; }

std::vector<std::string> GoldenCaseNames() {
  return {"qwen2_untied",      "qwen2_vocab",     "qwen3_tied", "qwen3_yarn",    "qwen3_moe_untied", "qwen3_moe_tied",
          "qwen3_next_untied", "qwen3_next_tied", "fp8_qwen3",  "fp8_qwen3_moe", "fp8_qwen3_next"};
}

std::vector<std::string> AvailableIsas() {
  std::vector<std::string> out;
  for (const kernels::Isa isa : kernels::kIsas) {
    if (kernels::TableFor(isa) != nullptr) out.emplace_back(kernels::IsaName(isa));
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> OnTheirIsas(const std::vector<std::string>& names) {
  const std::vector<std::string> isas = AvailableIsas();
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& name : names) {
    const bool large = name.find("vocab") != std::string::npos;
    for (const std::string& isa : isas) {
      if (!large || isa == isas.back()) out.emplace_back(name, isa);
    }
  }
  return out;
}

ScopedIsa::ScopedIsa(const std::string& name) : before_(kernels::IsaName(kernels::Kernels().isa)) {
  QUERN_CHECK(kernels::ForceIsa(name).has_value());
}

ScopedIsa::~ScopedIsa() { QUERN_CHECK(kernels::ForceIsa(before_).has_value()); }

Runner::Runner(const fs::path& checkpoint, int n_threads, int n_pages, std::optional<kernels::KvTypes> kv_types)
    : model_(Must(Model::Load(checkpoint))),
      kv_(Must(KvPool::Create(*model_, n_pages, kv_types))),
      activations_(Activations::Create()),
      threads_(n_threads) {}

ForwardResult Runner::Run(std::span<const Segment> segments, const LayerObserver* observer) {
  for (const Segment& segment : segments) {
    QUERN_CHECK(segment.sequence->Reserve(static_cast<int>(segment.tokens.size())).has_value());
  }
  return Must(model_->Forward(segments, *activations_, threads_, observer));
}

ForwardResult Runner::Run(SequenceState& sequence, std::span<const TokenId> tokens, LogitsFor logits,
                          const LayerObserver* observer) {
  const Segment segment{.sequence = &sequence, .tokens = tokens, .logits = logits};
  return Run(std::span(&segment, 1), observer);
}

std::vector<TokenId> Runner::Greedy(std::span<const TokenId> prompt, int n) {
  const auto sequence = NewSequence();
  std::vector<TokenId> out;
  std::vector<TokenId> step(prompt.begin(), prompt.end());
  for (int i = 0; i < n; ++i) {
    const ForwardResult result = Run(*sequence, step, LogitsFor::kLast);
    out.push_back(static_cast<TokenId>(kernels::ArgMax(result.logits)));
    step = {out.back()};
  }
  return out;
}

void WriteSafetensors(const fs::path& path,
                      const std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>>& tensors) {
  boost::json::object header;
  size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t end = offset + tensor.second.size() * sizeof(float);
    header[name] = {{"dtype", "F32"},
                    {"shape", boost::json::value_from(tensor.first)},
                    {"data_offsets", boost::json::array{offset, end}}};
    offset = end;
  }
  const std::string text = boost::json::serialize(header);
  const uint64_t n = text.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&n), sizeof(n));
  out << text;
  for (const auto& [name, tensor] : tensors) {
    out.write(reinterpret_cast<const char*>(tensor.second.data()),
              static_cast<std::streamsize>(tensor.second.size() * sizeof(float)));
  }
  QUERN_CHECK(out.good());
}

namespace {

std::vector<float> Widened(const StoredTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.n_elements()));
  kernels::DequantizeRow(tensor.dtype, tensor.bytes.data(), tensor.n_elements(), values.data());
  return values;
}

}  // namespace

void WidenCheckpoint(const fs::path& from, const fs::path& to) {
  const auto checkpoint = Must(Checkpoint::Open(from));
  std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>> tensors;
  for (const StoredTensor& tensor : checkpoint->tensors()) {
    if (tensor.name.ends_with(kF8ScaleSuffix)) continue;
    std::vector<float> values(static_cast<size_t>(tensor.n_elements()));
    const int64_t cols = tensor.shape.back();
    const size_t row_bytes = RowBytes(tensor.dtype, cols);
    const StoredTensor* stored_scales = Must(FindF8Scales(*checkpoint, tensor));
    const std::vector<float> scales = stored_scales == nullptr ? std::vector<float>() : Widened(*stored_scales);
    for (int64_t r = 0; r < tensor.n_elements() / cols; ++r) {
      const std::byte* row = tensor.bytes.data() + static_cast<size_t>(r) * row_bytes;
      if (stored_scales == nullptr) {
        kernels::DequantizeRow(tensor.dtype, row, cols, values.data() + r * cols);
      } else {
        kernels::DequantizeF8Row(row, scales.data() + r / kF8BlockSide * stored_scales->shape[1], cols,
                                 values.data() + r * cols);
      }
    }
    tensors[tensor.name] = {tensor.shape, std::move(values)};
  }
  fs::create_directories(to);
  fs::copy_file(from / "config.json", to / "config.json", fs::copy_options::overwrite_existing);
  WriteSafetensors(to / "model.safetensors", tensors);
}

}  // namespace quern::model
