#include "base/os/output_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"

namespace quern::os {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 18;

std::unexpected<Status> Failed(const char* what, const std::filesystem::path& path, int error) {
  const Code code = error == ENOENT || error == ENOTDIR                    ? Code::kNotFound
                    : error == EACCES || error == EPERM || error == EROFS  ? Code::kPermission
                    : error == ENOSPC || error == EDQUOT || error == EFBIG ? Code::kExhausted
                                                                           : Code::kInternal;
  return Error(code, fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(error)));
}

// What a file made by open(2) would get; mkstemp makes it private.
mode_t UsualMode() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

}  // namespace

Result<std::unique_ptr<OutputFile>> OutputFile::Create(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!path.has_filename() || std::filesystem::is_directory(path, ignored)) {
    return Error(Code::kInvalidArgument, fmt::format("cannot write {}: it is a folder", path.string()));
  }
  std::string partial = path.string() + ".partial-XXXXXX";
  const int fd = ::mkostemp(partial.data(), O_CLOEXEC);
  if (fd < 0) return Failed("write", path, errno);
  if (::fchmod(fd, UsualMode()) != 0) {
    const int error = errno;
    ::close(fd);
    ::unlink(partial.c_str());
    return Failed("write", path, error);
  }
  return std::unique_ptr<OutputFile>(new OutputFile(path, std::move(partial), fd));
}

OutputFile::OutputFile(std::filesystem::path path, std::filesystem::path partial, int fd)
    : path_(std::move(path)), partial_(std::move(partial)), fd_(fd) {
  buffer_.reserve(kBufferBytes);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!partial_.empty()) ::unlink(partial_.c_str());
}

Result<void> OutputFile::Write(std::span<const std::byte> bytes) {
  QUERN_CHECK(fd_ >= 0);
  if (buffer_.size() + bytes.size() > kBufferBytes) QUERN_TRY(Flush());
  if (bytes.size() >= kBufferBytes) {
    QUERN_TRY(WriteThrough(bytes));
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
  n_bytes_ += bytes.size();
  return {};
}

Result<void> OutputFile::Flush() {
  QUERN_TRY(WriteThrough(buffer_));
  buffer_.clear();
  return {};
}

Result<void> OutputFile::WriteThrough(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Failed("write", path_, n < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<void> OutputFile::Commit() {
  QUERN_CHECK(fd_ >= 0);
  QUERN_TRY(Flush());
  if (::fsync(fd_) != 0) return Failed("write", path_, errno);
  const int closed = ::close(std::exchange(fd_, -1));
  if (closed != 0) return Failed("write", path_, errno);
  if (::rename(partial_.c_str(), path_.c_str()) != 0) return Failed("rename a finished file to", path_, errno);
  partial_.clear();
  return {};
}

}  // namespace quern::os
