#include "base/os/output_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>

namespace quern::os {
namespace {

namespace fs = std::filesystem;

class OutputFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "quern_output_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }

  size_t n_files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  static std::string Read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

  fs::path folder_;
};

TEST_F(OutputFileTest, AppearsWholeOrNotAtAll) {
  const fs::path path = folder_ / "a.bin";
  std::ofstream(path) << "old";
  std::string expected;
  {
    auto file = OutputFile::Create(path);
    ASSERT_TRUE(file.has_value()) << file.error().ToString();
    for (const size_t n : {size_t{3}, size_t{1} << 18, size_t{5}, (size_t{1} << 18) - 1, size_t{1} << 20, size_t{0}}) {
      const std::string piece(n, static_cast<char>('a' + expected.size() % 26));
      ASSERT_TRUE((*file)->Write(Bytes(piece)).has_value());
      expected += piece;
    }
    EXPECT_EQ((*file)->n_bytes(), expected.size());
    EXPECT_EQ(Read(path), "old");
    ASSERT_TRUE((*file)->Commit().has_value());
  }
  EXPECT_EQ(Read(path), expected);
  EXPECT_EQ(n_files(), 1U);
}

TEST_F(OutputFileTest, LeavesNothingWhenGivenUp) {
  {
    auto file = OutputFile::Create(folder_ / "a.bin");
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE((*file)->Write(Bytes(std::string(1 << 20, 'x'))).has_value());
  }
  EXPECT_EQ(n_files(), 0U);
}

TEST_F(OutputFileTest, HasTheRightsOfAnyNewFile) {
  const mode_t before = ::umask(027);
  auto file = OutputFile::Create(folder_ / "a.bin");
  ::umask(before);
  ASSERT_TRUE(file.has_value() && (*file)->Commit().has_value());
  struct stat info;
  ASSERT_EQ(::stat((folder_ / "a.bin").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640U);
}

TEST_F(OutputFileTest, ErrorsNameTheFile) {
  const auto code = [](const fs::path& path) {
    const auto file = OutputFile::Create(path);
    EXPECT_TRUE(file.has_value() || file.error().message().find(path.string()) != std::string::npos);
    return file.has_value() ? std::string("none") : std::string(CodeName(file.error().code()));
  };
  EXPECT_EQ(code(folder_ / "no" / "a.bin"), "not_found");
  EXPECT_EQ(code(folder_), "invalid_argument");
}

}  // namespace
}  // namespace quern::os
