// A .gguf file, or the parts of a split one, as a checkpoint.
#include <fmt/core.h>

#include <optional>
#include <utility>

#include "model/checkpoint_files.h"
#include "model/safetensors.h"

namespace quern::model {
namespace {

namespace fs = std::filesystem;

// Where a file stands in a split checkpoint; {0, 1} when it is whole.
struct Part {
  int64_t number;  // from 0
  int64_t count;
};

Result<Part> ReadPart(const GgufFile& file) {
  QUERN_ASSIGN(const auto count, file.IntegerOrNone("split.count"));
  if (count.value_or(0) <= 1) return Part{0, 1};
  QUERN_ASSIGN(const int64_t number, file.Integer("split.no"));
  if (*count > kMaxGgufParts) {
    return Error(Code::kExhausted, fmt::format("{}: split.count is {}, more than the limit of {}", file.file_name(),
                                               *count, kMaxGgufParts));
  }
  if (number < 0 || number >= *count) {
    return Error(Code::kCorrupt,
                 fmt::format("{}: split.no is {}, expected 0 to {}", file.file_name(), number, *count - 1));
  }
  return Part{number, *count};
}

std::string PartSuffix(const Part& part) { return fmt::format("-{:05}-of-{:05}.gguf", part.number + 1, part.count); }

// The path of another part. Errors: kInvalidArgument when path is not named as parts are.
Result<fs::path> PathOfPart(const fs::path& path, const Part& here, const Part& wanted) {
  const std::string name = path.filename().string();
  const std::string suffix = PartSuffix(here);
  if (!name.ends_with(suffix)) {
    return Error(Code::kInvalidArgument, fmt::format("{}: the file says it is part {} of {}, expected a name ending {}",
                                                     path.string(), here.number + 1, here.count, suffix));
  }
  return path.parent_path() / (name.substr(0, name.size() - suffix.size()) + PartSuffix(wanted));
}

// Appends a part's tensors under their Hugging Face names.
Result<void> AddTensors(const GgufFile& file, int file_idx, CheckpointFiles& out) {
  if (out.tensors.size() + file.tensors().size() > kMaxTensors) {
    return Error(Code::kExhausted,
                 fmt::format("{}: more than {} tensors in all parts together", file.file_name(), kMaxTensors));
  }
  for (StoredTensor tensor : file.tensors()) {
    tensor.name = HuggingFaceName(tensor.name);
    tensor.file_idx = file_idx;
    out.tensors.push_back(std::move(tensor));
  }
  return {};
}

Result<GgufFile> MapPart(const fs::path& path, CheckpointFiles& out) {
  QUERN_ASSIGN(auto mapping, os::MappedFile::Open(path));
  QUERN_ASSIGN(GgufFile file, GgufFile::Parse(mapping->bytes(), path.string()));
  out.files.push_back(path);
  out.mappings.push_back(std::move(mapping));
  return file;
}

Result<void> AddOtherParts(const fs::path& path, const Part& first, CheckpointFiles& out,
                           std::vector<StoredTensor>& all_tensors) {
  for (int64_t number = 1; number < first.count; ++number) {
    QUERN_ASSIGN(const fs::path part_path, PathOfPart(path, first, Part{number, first.count}));
    QUERN_ASSIGN(const GgufFile file, MapPart(part_path, out));
    QUERN_ASSIGN(const Part part, ReadPart(file));
    if (part.number != number || part.count != first.count) {
      return Error(Code::kCorrupt,
                   fmt::format("{}: the file says it is part {} of {}, expected part {} of {}", part_path.string(),
                               part.number + 1, part.count, number + 1, first.count));
    }
    QUERN_TRY(AddTensors(file, static_cast<int>(number), out));
    all_tensors.insert(all_tensors.end(), file.tensors().begin(), file.tensors().end());
  }
  return {};
}

}  // namespace

Result<CheckpointFiles> OpenGgufFiles(const fs::path& path) {
  CheckpointFiles out;
  out.format = CheckpointFormat::kGguf;
  QUERN_ASSIGN(GgufFile parsed, MapPart(path, out));
  auto first = std::make_unique<const GgufFile>(std::move(parsed));
  QUERN_ASSIGN(const Part part, ReadPart(*first));
  if (part.number != 0) {
    QUERN_ASSIGN(const fs::path first_path, PathOfPart(path, part, Part{0, part.count}));
    return Error(Code::kInvalidArgument, fmt::format("{}: this is part {} of {}, name the first one: {}", path.string(),
                                                     part.number + 1, part.count, first_path.filename().string()));
  }
  QUERN_TRY(AddTensors(*first, 0, out));
  std::vector<StoredTensor> all_tensors(first->tensors().begin(), first->tensors().end());
  QUERN_TRY(AddOtherParts(path, part, out, all_tensors));
  QUERN_ASSIGN(const auto n_expected, first->IntegerOrNone("split.tensors.count"));
  if (part.count > 1 && n_expected.has_value() && *n_expected != static_cast<int64_t>(all_tensors.size())) {
    return Error(Code::kCorrupt, fmt::format("{}: split.tensors.count is {}, the {} parts hold {} tensors",
                                             path.string(), *n_expected, part.count, all_tensors.size()));
  }
  QUERN_ASSIGN(out.config, ReadGgufConfig(*first, all_tensors));
  QUERN_ASSIGN(out.generation, ReadGgufGeneration(*first));
  out.gguf = std::move(first);
  return out;
}

}  // namespace quern::model
