// For tests: one folder of tests/golden/model or, named "fp8_...", of tests/golden/fp8 (tools/golden/README.md says how
// it is made) and small ways to run a model.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/os/mapped_file.h"
#include "base/thread_pool.h"
#include "model/model.h"
#include "model/stored_tensor.h"

namespace quern::model {

struct GoldenGreedy {
  std::vector<TokenId> prompt;
  std::vector<TokenId> f32_ids, bf16_ids;  // the reference's greedy continuations
  std::vector<float> bf16_margin;          // per step, its first choice's logit minus its second's
  std::vector<float> bf16_rounding;        // per step, the largest change that bf16 made to the distance of two logits
  std::vector<int> router_close;           // per step, 1 when bf16 rounding decides an expert of this token

  // Whether the reference's own choice of this step is one that its rounding could have made otherwise.
  bool DecidedByRounding(size_t step) const {
    return bf16_margin[step] < bf16_rounding[step] || router_close[step] != 0;
  }
};

class GoldenCase {
 public:
  // Aborts the test program when the folder is broken: it is ours.
  explicit GoldenCase(const std::string& name);

  const std::string& name() const { return name_; }
  const std::filesystem::path& folder() const { return folder_; }
  // The checkpoint as published: in bf16, or FP8.
  std::filesystem::path published() const { return folder_ / (is_fp8_ ? "fp8" : "bf16"); }
  bool has_f32() const { return std::filesystem::exists(folder_ / "f32"); }

  const std::vector<std::vector<TokenId>>& prompts() const { return prompts_; }
  const std::vector<GoldenGreedy>& greedy() const { return greedy_; }
  const std::vector<float>& bf16_hidden_difference() const { return bf16_hidden_difference_; }
  float bf16_logit_difference() const { return bf16_logit_difference_; }
  // Over how many of the first rows of all prompts together these are.
  int bf16_difference_rows() const { return bf16_difference_rows_; }
  // Over all rows; empty and 0 where the case does not have them.
  const std::vector<float>& bf16_hidden_rms() const { return bf16_hidden_rms_; }
  float bf16_logit_rms() const { return bf16_logit_rms_; }
  float f32_forms_difference() const { return f32_forms_difference_; }  // 0 where the reference has one form only

  // "f32.hidden" [n_layers + 2, n_hidden_rows, d_model], "wide.logits" [n_rows, n_columns], ...
  std::vector<float> Floats(const std::string& name) const;
  std::vector<int32_t> LogitColumns() const { return Integers("logit_columns"); }
  // Which rows of all prompts together have hidden states, ascending.
  std::vector<int32_t> HiddenRows() const;

 private:
  const StoredTensor& Find(const std::string& name) const;
  std::vector<int32_t> Integers(const std::string& name) const;

  std::string name_;
  bool is_fp8_;
  std::filesystem::path folder_;
  std::vector<std::vector<TokenId>> prompts_;
  std::vector<GoldenGreedy> greedy_;
  std::vector<float> bf16_hidden_difference_;
  float bf16_logit_difference_ = 0;
  int bf16_difference_rows_ = 0;
  std::vector<float> bf16_hidden_rms_;
  float bf16_logit_rms_ = 0;
  float f32_forms_difference_ = 0;
  std::shared_ptr<const os::MappedFile> file_;
  std::vector<StoredTensor> tensors_;
};

std::filesystem::path GoldenFolder();
std::filesystem::path GgufFolder();

// Names of all folders in it, in a fixed order.
std::vector<std::string> GoldenCaseNames();

// "ref" and the faster levels that this CPU offers.
std::vector<std::string> AvailableIsas();

// A test's parameters: a checkpoint (or golden case) and a level. Everything runs on every level, but the large
// vocabulary, slow for its size, on the fastest only.
std::vector<std::pair<std::string, std::string>> OnTheirIsas(const std::vector<std::string>& names);

// Forces a level while it lives.
class ScopedIsa {
 public:
  explicit ScopedIsa(const std::string& name);
  ~ScopedIsa();

 private:
  std::string before_;
};

// A model with its pool, scratch and threads.
class Runner {
 public:
  explicit Runner(const std::filesystem::path& checkpoint, int n_threads = 1, int n_pages = 256,
                  std::optional<kernels::KvTypes> kv_types = {});

  const Model& model() const { return *model_; }
  KvPool& kv() { return *kv_; }
  std::unique_ptr<SequenceState> NewSequence() { return SequenceState::Create(*kv_); }

  // Reserves and runs. Aborts on an error. The logits are valid until the next call.
  ForwardResult Run(std::span<const Segment> segments, const LayerObserver* observer = nullptr);
  ForwardResult Run(SequenceState& sequence, std::span<const TokenId> tokens, LogitsFor logits,
                    const LayerObserver* observer = nullptr);

  std::vector<TokenId> Greedy(std::span<const TokenId> prompt, int n);

 private:
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvPool> kv_;
  std::unique_ptr<Activations> activations_;
  ThreadPool threads_;
};

// Writes a checkpoint like the one in `from`, all tensors in f32, into `to`.
void WidenCheckpoint(const std::filesystem::path& from, const std::filesystem::path& to);

// Writes one safetensors file. Values of names: f32.
void WriteSafetensors(const std::filesystem::path& path,
                      const std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>>& tensors);

}  // namespace quern::model
