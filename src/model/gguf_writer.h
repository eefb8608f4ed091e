// Writer of GGUF files, version 3 (docs/formats/gguf.md). Streaming: the header is known before the first tensor, the
// tensors' bytes go straight to the disk. The same calls give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/os/output_file.h"
#include "base/status.h"
#include "model/gguf.h"
#include "tensor/dtype.h"

namespace quern::model {

// Keys and values in the order in which they were first set. Keys are our own or were read from a GGUF file, so that
// they fit the reader's limits.
class GgufMetadata {
 public:
  void Set(std::string_view key, std::string_view value);
  void Set(std::string_view key, const char* value) { Set(key, std::string_view(value)); }
  void Set(std::string_view key, bool value);
  void Set(std::string_view key, uint32_t value);
  void Set(std::string_view key, int32_t value);
  void Set(std::string_view key, float value);
  void Set(std::string_view key, std::span<const std::string_view> values);
  void Set(std::string_view key, std::span<const int32_t> values);
  void Set(std::string_view key, std::span<const float> values);

  // A key of another file, value type included.
  void Copy(const GgufFile& from, std::string_view key);

  size_t size() const { return entries_.size(); }

 private:
  friend class GgufWriter;
  using Bytes = std::vector<std::byte>;

  Bytes& Value(std::string_view key);  // empty; replaces an earlier one

  std::vector<std::pair<std::string, Bytes>> entries_;  // value: type and payload
};

struct GgufTensorInfo {
  std::string name;
  DType dtype = DType::kF32;   // one that GGUF has (IsGgufType)
  std::vector<int64_t> shape;  // outermost first, at most kMaxGgufDims; rows are whole blocks

  size_t n_bytes() const;
};

bool IsGgufType(DType type);

// One thread at a time. A writer that goes away before Finish leaves no file.
class GgufWriter {
 public:
  // Writes the header. Errors: those of os::OutputFile.
  static Result<std::unique_ptr<GgufWriter>> Create(const std::filesystem::path& path, const GgufMetadata& metadata,
                                                    std::vector<GgufTensorInfo> tensors);

  // The next bytes of the tensors, in the order given to Create and in pieces of any size; a piece belongs to one
  // tensor (checked). Errors: those of os::OutputFile.
  Result<void> Append(std::span<const std::byte> bytes);

  // All bytes must have come (checked). Then the file is there. Errors: those of os::OutputFile.
  Result<void> Finish();

 private:
  GgufWriter(std::unique_ptr<os::OutputFile> file, std::vector<GgufTensorInfo> tensors);
  Result<void> WriteHeader(const GgufMetadata& metadata);
  Result<void> Pad();
  void SkipEmptyTensors();

  std::unique_ptr<os::OutputFile> file_;
  std::vector<GgufTensorInfo> tensors_;
  size_t tensor_ = 0;     // whose bytes come next
  size_t n_written_ = 0;  // of that one
};

}  // namespace quern::model
