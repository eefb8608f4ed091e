#include "base/os/mapped_file.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

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

// KiB of this process's memory that /proc/self/smaps counts for a file.
int64_t ResidentKiB(const std::filesystem::path& path) {
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  int64_t sum = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ')) here = line.ends_with(path.filename().string());
    if (here && line.starts_with("Rss:")) sum += std::stoll(line.substr(4));
  }
  return sum;
}

TEST(MappedFile, ReadAheadMapsAllOfItInTheBackground) {
  constexpr int kMiB = 70;  // more than one piece
  const auto path = WriteTemp("quern_read_ahead", std::string(size_t{kMiB} << 20, 'x'));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.has_value());
  EXPECT_LT(ResidentKiB(path), 1024);
  (*file)->ReadAhead();
  (*file)->ReadAhead();
  for (int tries = 0; tries < 1000 && ResidentKiB(path) < kMiB * 1024; ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(ResidentKiB(path), kMiB * 1024);
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
