#include "base/os/mapped_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

namespace quern::os {
namespace {

std::filesystem::path WriteTemp(const std::string& name, const std::string& text) {
  const auto path = std::filesystem::path(testing::TempDir()) / name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

TEST(MappedFile, ShowsTheFilesBytes) {
  const auto path = WriteTemp("quern_mapped", std::string("a\0b", 3));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.has_value());
  ASSERT_EQ((*file)->bytes().size(), 3U);
  EXPECT_EQ((*file)->bytes()[2], std::byte{'b'});
}

TEST(MappedFile, WhatIsReleasedCanBeReadAgain) {
  const auto file = MappedFile::Open(WriteTemp("quern_release", std::string(100'000, 'x')));
  ASSERT_TRUE(file.has_value());
  const auto bytes = (*file)->bytes();
  for (const auto part : {bytes, bytes.subspan(5, 10), bytes.subspan(99'999), bytes.subspan(4096, 4096)}) {
    (*file)->Release(part);
    for (const std::byte b : bytes) ASSERT_EQ(b, std::byte{'x'});
  }
}

size_t CountPages(size_t n_bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (n_bytes + page - 1) / page;
}

// Pages of the file that the system has in memory.
size_t CachedPages(const MappedFile& file) {
  std::vector<unsigned char> there(CountPages(file.bytes().size()));
  EXPECT_EQ(::mincore(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), there.data()), 0);
  return static_cast<size_t>(std::count_if(there.begin(), there.end(), [](unsigned char c) { return (c & 1U) != 0; }));
}

TEST(MappedFile, ReadAheadReadsWhatIsOnTheDisk) {
  constexpr size_t kBytes = (size_t{70} << 20) + 5;  // more than one piece, and an end within a page
  const auto path = WriteTemp("quern_read_ahead", std::string(kBytes, 'x'));
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::fsync(fd), 0);
  // All of it, then only a hole in the middle.
  for (const auto& [from, n] : {std::pair<off_t, off_t>{0, 0}, {off_t{34} << 20, off_t{4} << 20}}) {
    ASSERT_EQ(::posix_fadvise(fd, from, n, POSIX_FADV_DONTNEED), 0);
    const auto file = MappedFile::Open(path);
    ASSERT_TRUE(file.has_value());
    const size_t n_pages = CountPages(kBytes);
    (*file)->ReadAhead();
    (*file)->ReadAhead();
    for (int tries = 0; tries < 1000 && CachedPages(**file) < n_pages; ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(CachedPages(**file), n_pages);
  }
  ::close(fd);
  std::filesystem::remove(path);
}

TEST(MappedFile, ReadAheadEndsWithTheMapping) {
  const auto path = WriteTemp("quern_read_ahead", std::string(size_t{70} << 20, 'x'));
  for (int i = 0; i < 20; ++i) {
    const auto file = MappedFile::Open(path);
    ASSERT_TRUE(file.has_value());
    (*file)->ReadAhead();
  }
  std::filesystem::remove(path);
}

TEST(MappedFile, MapsAnEmptyFileToNothing) {
  const auto file = MappedFile::Open(WriteTemp("quern_empty", ""));
  ASSERT_TRUE(file.has_value());
  EXPECT_TRUE((*file)->bytes().empty());
}

TEST(MappedFile, NamesTheMissingFile) {
  const auto file = MappedFile::Open("/nonexistent/quern");
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code(), Code::kNotFound);
  EXPECT_NE(file.error().message().find("/nonexistent/quern"), std::string::npos);
}

TEST(MappedFile, RefusesADirectory) { EXPECT_EQ(MappedFile::Open("/tmp").error().code(), Code::kInvalidArgument); }

TEST(ReadTextFile, StopsAtTheLimit) {
  const auto path = WriteTemp("quern_text", "hello");
  EXPECT_EQ(*ReadTextFile(path, 5), "hello");
  EXPECT_EQ(ReadTextFile(path, 4).error().code(), Code::kExhausted);
}

}  // namespace
}  // namespace quern::os
