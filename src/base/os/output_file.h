// A file that appears under its name when it is whole and not before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"

namespace quern::os {

// Bytes go into a temporary file beside the target; Commit puts it under its name. Without Commit the destructor
// removes it, so that an error or a crash leaves at most a file named "<name>.partial-XXXXXX" and never half a target.
// One thread at a time.
class OutputFile {
 public:
  // Errors: kNotFound (no such folder), kPermission, kInvalidArgument (the target is a folder), kInternal.
  static Result<std::unique_ptr<OutputFile>> Create(const std::filesystem::path& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Appends. Errors: kExhausted (the disk or a quota is full), kInternal.
  Result<void> Write(std::span<const std::byte> bytes);
  uint64_t n_bytes() const { return n_bytes_; }  // written so far

  // Flushes to the disk and renames over whatever stood there. Nothing can be written afterwards. Errors: as Write.
  Result<void> Commit();

 private:
  OutputFile(std::filesystem::path path, std::filesystem::path partial, int fd);
  Result<void> Flush();
  Result<void> WriteThrough(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::filesystem::path partial_;  // empty once it is gone
  int fd_;
  uint64_t n_bytes_ = 0;
  std::vector<std::byte> buffer_;  // small writes, gathered
};

}  // namespace quern::os
