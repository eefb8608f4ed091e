// A checkpoint of any readable form written as one GGUF file, its matrices in the types of a recipe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/checkpoint.h"
#include "model/gguf_export.h"
#include "model/importance.h"
#include "model/model.h"
#include "model/quantize_recipe.h"

namespace quern::model {

struct QuantizeOptions {
  Recipe recipe = Recipe::kQ4KM;
  const ImportanceMatrix* importance = nullptr;    // null: every column matters alike
  const GgufVocabularyKeys* vocabulary = nullptr;  // for a checkpoint that is not GGUF, which brings its own
  ProgressFn progress;                             // bytes of the source
};

struct QuantizeReport {
  std::map<DType, uint64_t> bytes_by_type;  // of the tensors written
  uint64_t n_bytes = 0;
  int64_t n_parameters = 0;
  std::vector<std::string> left_out;       // ExportPlan's
  std::vector<std::string> no_importance;  // quantised tensors that the importance matrix does not know
  bool requantized = false;                // some block type was taken apart to make another: losses add up
};

// The bytes written depend on the checkpoint and the options alone, not on pool.n_threads(). Memory: a few tens of MiB
// beside what of the source's pages is being read; those are let go of as the work moves on.
// Errors: those of PlanExport and os::OutputFile; kInvalidArgument (path is one of the checkpoint's own files, an
// importance matrix of another model); kCorrupt (a weight that is not finite); kUnsupported (a weight too large for the
// type); kExhausted (not enough room on the disk; with numbers). Messages name file, tensor, row and column.
Result<QuantizeReport> WriteQuantized(const Checkpoint& checkpoint, const std::filesystem::path& path,
                                      const QuantizeOptions& options, ThreadPool& pool);

}  // namespace quern::model
