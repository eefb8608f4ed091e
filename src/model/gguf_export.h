// A checkpoint as a GGUF file would hold it: names, order and shapes of its tensors, what happens to their values on
// the way, and the keys that go with them. The rules are those of docs/formats/gguf.md, read backwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/checkpoint.h"
#include "model/gguf_writer.h"

namespace quern::model {

// Some rows of a stored tensor; all but its last axis count as rows.
struct StoredRows {
  const StoredTensor* tensor;
  int64_t first;
  int64_t n;
};

enum class ValueChange {
  kNone,
  kPlusOne,      // norms that are stored as their distance from one
  kNegativeExp,  // A_log, stored in GGUF as what multiplies
};

struct ExportTensor {
  std::string name;              // GGUF's
  std::vector<int64_t> shape;    // outermost first
  std::vector<StoredRows> rows;  // the source's, in order; all of shape.back() elements
  ValueChange change = ValueChange::kNone;

  int64_t n_rows() const;
  int64_t n_cols() const { return shape.back(); }
};

struct ExportPlan {
  std::vector<ExportTensor> tensors;  // embedding, layers in order, the rest
  std::vector<std::string> left_out;  // of the checkpoint, because GGUF or inference has no use for them
};

// Views into the checkpoint. Errors: kUnsupported (a tensor without a name in GGUF; layers without experts in a model
// with, which GGUF cannot say), kCorrupt (experts missing or of different shapes).
Result<ExportPlan> PlanExport(const Checkpoint& checkpoint);

// The tensor's name in a GGUF file; nullopt when it has none. name: as Checkpoint gives it, not of an expert.
std::optional<std::string> GgufName(std::string_view name, Architecture architecture);

// What a tokenizer puts into a file, beside GgufTokenizer, which reads it. Owned strings.
struct GgufVocabularyKeys {
  std::vector<std::string> tokens;   // by id
  std::vector<int32_t> token_types;  // by id
  std::vector<std::string> merges;   // "left right"
  std::string chat_template;         // empty: none
};

// The keys of a checkpoint that is not in GGUF, but for general.file_type. vocabulary null: none (then other programs
// cannot use the file).
GgufMetadata MetadataOf(const Checkpoint& checkpoint, const GgufVocabularyKeys* vocabulary);

// All keys of a GGUF file that stay true when it is written anew: not the split.* ones.
GgufMetadata MetadataOf(const GgufFile& file);

}  // namespace quern::model
