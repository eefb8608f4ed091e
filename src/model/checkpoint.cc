#include "model/checkpoint.h"

#include <fmt/core.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "model/checkpoint_files.h"
#include "model/mtp_names.h"
#include "model/stacked_experts.h"

namespace quern::model {
namespace {

// Sorts and refuses a name that stands twice. Messages name the file of the second.
Result<void> SortByName(std::vector<StoredTensor>& tensors, const std::vector<std::filesystem::path>& files) {
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::pair(std::string_view(a.name), a.file_idx) < std::pair(std::string_view(b.name), b.file_idx);
  });
  const auto twice = std::adjacent_find(tensors.begin(), tensors.end(),
                                        [](const StoredTensor& a, const StoredTensor& b) { return a.name == b.name; });
  if (twice == tensors.end()) return {};
  return Error(Code::kCorrupt, fmt::format("{}: tensor \"{}\" stands in {} too",
                                           files[static_cast<size_t>((twice + 1)->file_idx)].string(), twice->name,
                                           files[static_cast<size_t>(twice->file_idx)].string()));
}

class OpenedCheckpoint final : public Checkpoint {
 public:
  OpenedCheckpoint(std::filesystem::path path, CheckpointFiles files)
      : path_(std::move(path)), data_(std::move(files)) {}

  const std::filesystem::path& path() const override { return path_; }
  CheckpointFormat format() const override { return data_.format; }
  const ModelConfig& config() const override { return data_.config; }
  const GenerationConfig& generation() const override { return data_.generation; }
  std::span<const StoredTensor> tensors() const override { return data_.tensors; }
  std::span<const std::filesystem::path> files() const override { return data_.files; }
  const GgufFile* gguf() const override { return data_.gguf.get(); }

  void Release(std::span<const std::byte> bytes) const override {
    for (const auto& mapping : data_.mappings) {
      const auto whole = mapping->bytes();
      if (bytes.data() >= whole.data() && bytes.data() < whole.data() + whole.size()) return mapping->Release(bytes);
    }
  }

 private:
  std::filesystem::path path_;
  CheckpointFiles data_;
};

}  // namespace

Result<std::unique_ptr<const Checkpoint>> Checkpoint::Open(const std::filesystem::path& path) {
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  if (kind == std::filesystem::file_type::not_found) {
    return Error(Code::kNotFound, fmt::format("{}: no such file or directory", path.string()));
  }
  auto opened = kind == std::filesystem::file_type::directory ? OpenSafetensorsFolder(path) : OpenGgufFiles(path);
  if (!opened.has_value()) return std::unexpected(std::move(opened).error());
  if (auto named = NameMtpTensors(opened->format, opened->tensors, opened->config); !named.has_value()) {
    return std::unexpected(named.error().WithContext(path.string()));
  }
  auto unstacked = UnstackExperts(std::move(opened->tensors));
  if (!unstacked.has_value()) return std::unexpected(unstacked.error().WithContext(path.string()));
  opened->tensors = std::move(*unstacked);
  QUERN_TRY(SortByName(opened->tensors, opened->files));
  return std::make_unique<const OpenedCheckpoint>(path, std::move(*opened));
}

const StoredTensor* Checkpoint::Find(std::string_view name) const {
  const auto all = tensors();
  const auto at = std::lower_bound(all.begin(), all.end(), name,
                                   [](const StoredTensor& tensor, std::string_view key) { return tensor.name < key; });
  return at != all.end() && at->name == name ? &*at : nullptr;
}

Result<const StoredTensor*> Checkpoint::Get(std::string_view name, std::span<const int64_t> shape) const {
  const StoredTensor* tensor = Find(name);
  if (tensor == nullptr) {
    return Error(Code::kCorrupt, fmt::format("{}: tensor \"{}\" is missing, expected shape {}", path().string(), name,
                                             ShapeText(shape)));
  }
  if (!std::equal(tensor->shape.begin(), tensor->shape.end(), shape.begin(), shape.end())) {
    return Error(Code::kCorrupt, fmt::format("{}: expected shape {}, got {}", Where(*tensor), ShapeText(shape),
                                             ShapeText(tensor->shape)));
  }
  return tensor;
}

std::string Checkpoint::Where(const StoredTensor& tensor) const {
  return fmt::format("{}: tensor \"{}\"", files()[static_cast<size_t>(tensor.file_idx)].string(), tensor.name);
}

uint64_t Checkpoint::n_bytes() const {
  uint64_t total = 0;
  for (const StoredTensor& tensor : tensors()) total += tensor.bytes.size();
  return total;
}

}  // namespace quern::model
