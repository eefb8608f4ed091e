// Packed matrices kept in a file beside the checkpoint, so that a start maps them instead of packing anew. The format
// is docs/formats/packed.md. Everything in such a file is checked like any bytes from outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/os/mapped_file.h"
#include "base/status.h"
#include "kernels/matrix.h"
#include "model/checkpoint.h"
#include "model/model.h"
#include "tensor/dtype.h"

namespace quern::model {

// One matrix: its place and what it was made of.
struct PackedEntry {
  std::string name;            // the checkpoint's
  DType type = DType::kF32;    // stored in the checkpoint
  int64_t rows = 0, cols = 0;  // 1 to 2^31
  uint64_t offset = 0;         // from the start of the file, a multiple of 64
  uint64_t n_bytes = 0;
  uint64_t checksum = 0;
};

struct PackedIndex {
  uint64_t fingerprint = 0;
  std::vector<PackedEntry> entries;  // by name

  const PackedEntry* Find(std::string_view name) const;
};

// Reads header and index of a whole file's bytes; the matrices are not touched. Afterwards every entry lies inside the
// file and no two overlap. Errors: kCorrupt, kUnsupported (another version or layout), kExhausted (a limit); without
// the file's name.
Result<PackedIndex> ParsePackedIndex(std::span<const std::byte> file);

// Thread-safe after Open. Two processes that open one file share its pages.
class PackedFile : public std::enable_shared_from_this<PackedFile> {
 public:
  // Errors: as ParsePackedIndex and MappedFile::Open, and kInvalidArgument when the file was made of another
  // checkpoint; the message names the file.
  static Result<std::shared_ptr<const PackedFile>> Open(const std::filesystem::path& path,
                                                        const Checkpoint& checkpoint);

  const std::filesystem::path& path() const { return file_->path(); }
  uint64_t n_bytes() const { return file_->bytes().size(); }

  // The matrix, sharing the mapping; empty (rows() == 0) when the file has none of this name, type and shape.
  kernels::Matrix MatrixOf(std::string_view name, DType type, int64_t rows, int64_t cols) const;

  // See MappedFile::ReadAhead.
  void ReadAhead() const { file_->ReadAhead(); }

  // Reads everything and compares checksums. Errors: kCorrupt, naming file and matrix.
  Result<void> CheckData(const ProgressFn& progress) const;

 private:
  PackedFile(std::shared_ptr<const os::MappedFile> file, PackedIndex index)
      : file_(std::move(file)), index_(std::move(index)) {}

  std::shared_ptr<const os::MappedFile> file_;
  PackedIndex index_;
};

// Tells checkpoints apart: a checksum over every tensor's name, type, shape, and a few bytes of its data.
uint64_t FingerprintOf(const Checkpoint& checkpoint);

// Where a checkpoint's packed file is looked for: "coder.gguf.packed", or "weights.packed" in a directory.
std::filesystem::path PackedPathOf(const std::filesystem::path& checkpoint);

// Packs every matrix of the checkpoint into a new file; at most one layer is in memory at a time. The file appears
// under its name when it is whole. Errors: as Model::Load, and kInternal (cannot be written; the message says why).
Result<void> WritePackedFile(const Checkpoint& checkpoint, const std::filesystem::path& path,
                             const ProgressFn& progress);

}  // namespace quern::model
