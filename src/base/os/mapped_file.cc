#include "base/os/mapped_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/os/memory_nodes.h"

namespace quern::os {
namespace {

constexpr size_t kReadAheadBytes = size_t{32} << 20;  // at a time: some milliseconds from a disk
constexpr size_t kProbeBytes = size_t{256} << 10;     // one page of so many is asked whether it is in memory
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; glibc 2.36 knows it, older ones do not
#endif

// Closes the descriptor on every way out.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::unexpected<Status> OpenError(const std::filesystem::path& path, int error) {
  const Code code = error == ENOENT || error == ENOTDIR ? Code::kNotFound
                    : error == EACCES || error == EPERM ? Code::kPermission
                                                        : Code::kInternal;
  return Error(code, fmt::format("cannot open {}: {}", path.string(), std::strerror(error)));
}

// Opens a regular file and reports its size.
Result<std::pair<int, size_t>> OpenRegular(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return OpenError(path, errno);
  struct stat info;
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return Error(Code::kInvalidArgument, fmt::format("{} is not a regular file", path.string()));
  }
  return std::pair<int, size_t>(fd, static_cast<size_t>(info.st_size));
}

// Whether the system has this part of a file in memory, as far as a page here and there can tell. Unlike mincore it
// says so of other people's files too.
bool IsCached(int fd, size_t at, size_t n) {
  for (size_t probe = at; probe < at + n; probe += kProbeBytes) {
    std::byte first;
    const iovec into{.iov_base = &first, .iov_len = 1};
    if (::preadv2(fd, &into, 1, static_cast<off_t>(probe), RWF_NOWAIT) != 1) return false;
  }
  return true;
}

bool FitsIntoFreeMemory(size_t n) {
  struct sysinfo info;
  return ::sysinfo(&info) == 0 && n <= info.freeram * info.mem_unit;
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::filesystem::path& path) {
  QUERN_ASSIGN(const auto opened, OpenRegular(path));
  const Fd fd(opened.first);
  const size_t size = opened.second;
  if (size == 0) return std::shared_ptr<const MappedFile>(new MappedFile(path, nullptr, 0));
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) {
    return Error(Code::kInternal,
                 fmt::format("cannot map {} ({} bytes): {}", path.string(), size, std::strerror(errno)));
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  reader_ = std::jthread();
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::Release(std::span<const std::byte> part) const {
  static const auto kPage = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + kPage - 1) / kPage * kPage;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / kPage * kPage;
  // Advice only: when it is not taken, memory stays as it was.
  if (begin < end) static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
}

void MappedFile::ReadAhead() const {
  std::call_once(read_ahead_, [this] {
    reader_ = std::jthread([this](const std::stop_token& stop) {
      pthread_setname_np(pthread_self(), "quern-ahead");
      if (const auto nodes = MemoryNodes(); nodes.size() > 1) SpreadReadsOfThisThread(nodes);
      ReadAll(stop);
    });
  });
}

void MappedFile::ReadAll(const std::stop_token& stop) const {
  // Should the path lead elsewhere by now, only advice is given about the wrong file.
  const Fd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (size_ == 0 || fd.get() < 0) return;
  auto* data = const_cast<std::byte*>(data_);
  // Where the file system keeps large pages, the disk is read in 2 MiB pieces and each costs one fault. Not where they
  // had to be made first: the system would throw out other parts of the file to have memory in one piece.
  const bool large = FitsIntoFreeMemory(size_) && ::madvise(data, size_, MADV_HUGEPAGE) == 0;
  for (size_t at = 0; at < size_ && !stop.stop_requested(); at += kReadAheadBytes) {
    const size_t n = std::min(kReadAheadBytes, size_ - at);
    // What is there is mapped where it is used, which costs less than to map all of it now.
    if (IsCached(fd.get(), at, n)) continue;
    if (!large) static_cast<void>(::readahead(fd.get(), static_cast<off64_t>(at), n));
    // Where the system does not know this, pages come when they are used, as they would have.
    if (::madvise(data + at, n, MADV_POPULATE_READ) != 0) return;
  }
}

Result<std::string> ReadTextFile(const std::filesystem::path& path, size_t max_bytes) {
  QUERN_ASSIGN(const auto opened, OpenRegular(path));
  const Fd fd(opened.first);
  if (opened.second > max_bytes) {
    return Error(Code::kExhausted,
                 fmt::format("{} has {} bytes, more than the limit of {}", path.string(), opened.second, max_bytes));
  }
  std::string text(opened.second, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(fd.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error(Code::kInternal, fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

}  // namespace quern::os
