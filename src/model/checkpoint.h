// A checkpoint on disk behind one face, whichever format it is in: its numbers, and its tensors under one naming, that
// of the Hugging Face model classes (docs/formats/gguf.md has the table). Nothing is read but headers until a tensor's
// bytes are touched.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/config.h"
#include "model/stored_tensor.h"

namespace quern::model {

class GgufFile;

enum class CheckpointFormat { kSafetensors, kGguf };

// Owns the mappings: every view it gives is valid until its destruction. Thread-safe after Open.
//
// Names are always the unstacked ones. Experts stored as one tensor (mlp.experts.gate_up_proj [E, 2*d_ff_expert,
// d_model], mlp.experts.down_proj [E, d_model, d_ff_expert], and GGUF's ffn_{gate,up,down,gate_up}_exps) appear as
// views
//   model.layers.N.mlp.experts.E.{gate_proj,up_proj,down_proj}.weight
// of [d_ff_expert, d_model], [d_ff_expert, d_model], [d_model, d_ff_expert]; the stacked name itself does not appear.
// The multi-token prediction head's tensors are named as in mtp_names.h. A GGUF tensor whose name is not in the table
// keeps its own name.
class Checkpoint {
 public:
  // path: a directory with config.json and model.safetensors or model.safetensors.index.json, or a .gguf file (the
  // first part when split). Errors: kNotFound, kCorrupt, kUnsupported, kExhausted (a limit of docs/limits.md); messages
  // name file, tensor, offset, expected and seen.
  static Result<std::unique_ptr<const Checkpoint>> Open(const std::filesystem::path& path);
  virtual ~Checkpoint() = default;

  virtual const std::filesystem::path& path() const = 0;  // as given to Open
  virtual CheckpointFormat format() const = 0;
  virtual const ModelConfig& config() const = 0;
  virtual const GenerationConfig& generation() const = 0;

  // All tensors, sorted by name.
  virtual std::span<const StoredTensor> tensors() const = 0;

  // The weight files in order; StoredTensor::file_idx counts in this list.
  virtual std::span<const std::filesystem::path> files() const = 0;

  // The first part's metadata (the tokenizer's tokens among it); null unless format() is kGguf.
  virtual const GgufFile* gguf() const = 0;

  // Says that a piece of a tensor's bytes has been read and is not needed soon: its pages may leave memory. Reading it
  // again works as before.
  virtual void Release(std::span<const std::byte> bytes) const = 0;

  // Null when there is no such tensor.
  const StoredTensor* Find(std::string_view name) const;

  // The tensor, when it is there and has this shape. Errors: kCorrupt, naming file, tensor, expected and seen shape.
  Result<const StoredTensor*> Get(std::string_view name, std::span<const int64_t> shape) const;

  // "dir/model-00001-of-00002.safetensors: tensor \"name\"": the start of every message about a tensor.
  std::string Where(const StoredTensor& tensor) const;

  // Bytes of all tensors together.
  uint64_t n_bytes() const;
};

}  // namespace quern::model
