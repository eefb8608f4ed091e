#include "model/importance.h"

#include <fmt/core.h>

#include <cmath>
#include <cstring>

#include "base/os/mapped_file.h"
#include "model/gguf.h"
#include "model/gguf_writer.h"

namespace quern::model {
namespace {

constexpr std::string_view kKind = "imatrix";
constexpr std::string_view kMeanSquares = ".mean_squares";

}  // namespace

Result<void> ImportanceMatrix::Save(const std::filesystem::path& path) const {
  GgufMetadata metadata;
  metadata.Set("general.type", kKind);
  std::vector<GgufTensorInfo> tensors;
  for (const auto& [name, entry] : entries_) {
    const int64_t n_cols = static_cast<int64_t>(entry.mean_squares.size()) / entry.n_experts;
    tensors.push_back(
        {.name = name + std::string(kMeanSquares), .dtype = DType::kF32, .shape = {entry.n_experts, n_cols}});
  }
  QUERN_ASSIGN(auto writer, GgufWriter::Create(path, metadata, std::move(tensors)));
  for (const auto& [name, entry] : entries_) QUERN_TRY(writer->Append(std::as_bytes(std::span(entry.mean_squares))));
  return writer->Finish();
}

Result<ImportanceMatrix> ImportanceMatrix::Load(const std::filesystem::path& path) {
  QUERN_ASSIGN(const auto mapping, os::MappedFile::Open(path));
  QUERN_ASSIGN(const GgufFile file, GgufFile::Parse(mapping->bytes(), path.string()));
  QUERN_ASSIGN(const auto kind, file.StringOrNone("general.type"));
  if (kind != kKind) {
    return Error(Code::kCorrupt, fmt::format("{}: general.type is \"{}\", expected \"{}\": not a file of quern imatrix",
                                             path.string(), kind.value_or("").substr(0, 80), kKind));
  }
  ImportanceMatrix out;
  for (const StoredTensor& tensor : file.tensors()) {
    const auto bad = [&](std::string_view text) {
      return Error(Code::kCorrupt, fmt::format("{}: tensor \"{}\": {}", path.string(), tensor.name, text));
    };
    if (!tensor.name.ends_with(kMeanSquares)) return bad("not a tensor of an importance matrix");
    if (tensor.dtype != DType::kF32 || tensor.shape.size() != 2 || tensor.shape[0] < 1 || tensor.shape[1] < 1 ||
        tensor.shape[0] > kMaxExperts) {
      return bad(
          fmt::format("expected f32 [experts, columns], got {} {}", Info(tensor.dtype).name, ShapeText(tensor.shape)));
    }
    Entry entry{.n_experts = static_cast<int>(tensor.shape[0]), .mean_squares = {}};
    entry.mean_squares.resize(static_cast<size_t>(tensor.n_elements()));
    std::memcpy(entry.mean_squares.data(), tensor.bytes.data(), tensor.bytes.size());
    for (const float v : entry.mean_squares) {
      if (!(v >= 0) || !std::isfinite(v)) return bad(fmt::format("a mean square is {}, expected 0 or more", v));
    }
    out.Set(tensor.name.substr(0, tensor.name.size() - kMeanSquares.size()), std::move(entry));
  }
  return out;
}

}  // namespace quern::model
