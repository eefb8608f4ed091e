// The two ways to open a checkpoint; Checkpoint::Open picks. Not for use outside checkpoint.cc.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "base/os/mapped_file.h"
#include "base/status.h"
#include "model/checkpoint.h"
#include "model/gguf.h"

namespace quern::model {

struct CheckpointFiles {
  CheckpointFormat format = CheckpointFormat::kSafetensors;
  ModelConfig config;
  GenerationConfig generation;
  std::vector<std::filesystem::path> files;
  std::vector<std::shared_ptr<const os::MappedFile>> mappings;  // beside files; keep the tensors' bytes alive
  std::vector<StoredTensor> tensors;     // in any order, Hugging Face names, experts may be stacked
  std::unique_ptr<const GgufFile> gguf;  // the first part; null for safetensors
};

// A directory with config.json and weights. Errors: as Checkpoint::Open.
Result<CheckpointFiles> OpenSafetensorsFolder(const std::filesystem::path& folder);

// A .gguf file and the parts that belong to it. Errors: as Checkpoint::Open.
Result<CheckpointFiles> OpenGgufFiles(const std::filesystem::path& path);

}  // namespace quern::model
