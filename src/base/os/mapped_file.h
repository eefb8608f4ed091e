// A read-only file mapped into memory. Two processes that map one file share its pages.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>

#include "base/status.h"

namespace quern::os {

// Owns the mapping; views into bytes() are valid until destruction. Thread-safe after Open.
class MappedFile {
 public:
  // Errors: kNotFound (no such file), kPermission, kInvalidArgument (a directory or device), kInternal (mmap failed).
  // An empty file maps to an empty span.
  static Result<std::shared_ptr<const MappedFile>> Open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Tells the system that the whole pages inside part, a piece of bytes(), are not needed for now: they no longer count
  // as this process's memory. Reading them again reads the file again.
  void Release(std::span<const std::byte> part) const;

  // Starts to read what of the file is still on the disk, on a thread of its own, so that whoever uses the bytes later
  // need not wait for it. Returns at once; only the first call does something.
  void ReadAhead() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  void ReadAll(const std::stop_token& stop) const;

  std::filesystem::path path_;
  const std::byte* data_;
  size_t size_;
  mutable std::once_flag read_ahead_;
  mutable std::jthread reader_;  // ends before the mapping does
};

// Whole small file as text. Errors as Open, and kExhausted when the file is larger than max_bytes.
Result<std::string> ReadTextFile(const std::filesystem::path& path, size_t max_bytes);

}  // namespace quern::os
