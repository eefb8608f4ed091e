// A Hugging Face directory: config.json, generation_config.json, and model.safetensors or an index with its shards.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "model/checkpoint_files.h"
#include "model/safetensors.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = size_t{4} << 20;
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";

Result<void> ReadConfigs(const fs::path& folder, CheckpointFiles& out) {
  QUERN_ASSIGN(const std::string text, os::ReadTextFile(folder / "config.json", kMaxConfigBytes));
  auto config = ParseConfig(text);
  if (!config.has_value()) return std::unexpected(config.error().WithContext((folder / "config.json").string()));
  out.config = *std::move(config);

  const fs::path generation_path = folder / "generation_config.json";
  std::error_code error;
  if (!fs::exists(generation_path, error)) return {};
  QUERN_ASSIGN(const std::string generation_text, os::ReadTextFile(generation_path, kMaxConfigBytes));
  auto generation = ParseGenerationConfig(generation_text);
  if (!generation.has_value()) return std::unexpected(generation.error().WithContext(generation_path.string()));
  out.generation = *std::move(generation);
  return {};
}

// Maps one weight file and appends its tensors.
Result<void> AddFile(const fs::path& path, CheckpointFiles& out) {
  QUERN_ASSIGN(auto mapping, os::MappedFile::Open(path));
  QUERN_ASSIGN(SafetensorsFile file, ParseSafetensors(mapping->bytes(), path.string()));
  const int file_idx = static_cast<int>(out.files.size());
  out.files.push_back(path);
  out.mappings.push_back(std::move(mapping));
  if (out.tensors.size() + file.tensors.size() > kMaxTensors) {
    return Error(Code::kExhausted,
                 fmt::format("{}: more than {} tensors in all files together", path.string(), kMaxTensors));
  }
  for (StoredTensor& tensor : file.tensors) {
    tensor.file_idx = file_idx;
    out.tensors.push_back(std::move(tensor));
  }
  return {};
}

// Every tensor must stand in the shard that the index says, and no shard may hold one that the index does not list.
Result<void> CheckAgainstIndex(const std::map<std::string, std::string>& index, const fs::path& index_path,
                               const CheckpointFiles& opened) {
  size_t n_found = 0;
  for (const StoredTensor& tensor : opened.tensors) {
    const std::string shard = opened.files[static_cast<size_t>(tensor.file_idx)].filename().string();
    const auto listed = index.find(tensor.name);
    if (listed == index.end() || listed->second != shard) {
      return Error(Code::kCorrupt, fmt::format("{}: tensor \"{}\" stands in {}, expected {}", index_path.string(),
                                               tensor.name, shard, listed == index.end() ? "no file" : listed->second));
    }
    ++n_found;
  }
  if (n_found == index.size()) return {};
  std::set<std::string_view> present;
  for (const StoredTensor& tensor : opened.tensors) present.insert(tensor.name);
  for (const auto& [name, shard] : index) {
    if (!present.contains(name)) {
      return Error(Code::kCorrupt, fmt::format("{}: tensor \"{}\" is expected in {}, which does not hold it",
                                               index_path.string(), name, shard));
    }
  }
  return {};
}

Result<void> AddShards(const fs::path& folder, CheckpointFiles& out) {
  const fs::path index_path = folder / kIndexName;
  QUERN_ASSIGN(const std::string text, os::ReadTextFile(index_path, kMaxIndexBytes));
  QUERN_ASSIGN(const auto index, ParseSafetensorsIndex(text, index_path.string()));
  std::set<std::string> shards;
  for (const auto& [name, shard] : index) shards.insert(shard);
  if (shards.size() > kMaxShards) {
    return Error(Code::kExhausted, fmt::format("{}: {} shards, more than the limit of {}", index_path.string(),
                                               shards.size(), kMaxShards));
  }
  for (const std::string& shard : shards) QUERN_TRY(AddFile(folder / shard, out));
  return CheckAgainstIndex(index, index_path, out);
}

}  // namespace

Result<CheckpointFiles> OpenSafetensorsFolder(const fs::path& folder) {
  CheckpointFiles out;
  out.format = CheckpointFormat::kSafetensors;
  QUERN_TRY(ReadConfigs(folder, out));
  std::error_code error;
  if (fs::exists(folder / kSingleName, error)) {
    QUERN_TRY(AddFile(folder / kSingleName, out));
  } else if (fs::exists(folder / kIndexName, error)) {
    QUERN_TRY(AddShards(folder, out));
  } else {
    return Error(Code::kNotFound,
                 fmt::format("{}: neither {} nor {} is there", folder.string(), kSingleName, kIndexName));
  }
  return out;
}

}  // namespace quern::model
