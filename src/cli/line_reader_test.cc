#include "cli/line_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "cli/interrupt.h"

namespace quern::cli {
namespace {

// What a reader makes of bytes that come through a pipe in pieces of n.
std::vector<LineReader::Line> ReadAll(const std::string& bytes, size_t n, size_t max_bytes = 1000) {
  std::array<int, 2> ends;
  EXPECT_EQ(pipe(ends.data()), 0);
  std::thread writer([&] {
    for (size_t at = 0; at < bytes.size(); at += n) {
      const std::string piece = bytes.substr(at, n);
      EXPECT_EQ(write(ends[1], piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
    }
    close(ends[1]);
  });
  LineReader reader(ends[0], max_bytes);
  std::vector<LineReader::Line> lines;
  do {
    lines.push_back(reader.ReadMessage());
  } while (lines.back().end != LineReader::End::kEnd);
  writer.join();
  close(ends[0]);
  return lines;
}

TEST(LineReader, GivesTheSameLinesForEveryCut) {
  for (size_t n = 1; n < 20; ++n) {
    const auto lines = ReadAll("one\r\n\ntwo\\\nthree\nlast", n);
    ASSERT_EQ(lines.size(), 4U);
    EXPECT_EQ(lines[0].text, "one");
    EXPECT_EQ(lines[1].text, "");
    EXPECT_EQ(lines[2].text, "two\nthree");
    EXPECT_EQ(lines[3].text, "last");
  }
}

TEST(LineReader, DropsWhatIsTooLong) {
  const auto lines = ReadAll(std::string(100000, 'x') + "\nshort\n", 4096, 1000);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].end, LineReader::End::kTooLong);
  EXPECT_EQ(lines[1].text, "short");
  EXPECT_EQ(lines[2].text, "");
}

TEST(LineReader, NoticesAnInterruptThatCameBeforeIt) {
  std::array<int, 2> ends;
  ASSERT_EQ(pipe(ends.data()), 0);
  CatchInterrupts();
  LineReader reader(ends[0], 1000);
  ASSERT_EQ(raise(SIGINT), 0);  // nobody waits yet: this one must not be lost
  EXPECT_EQ(reader.ReadMessage().end, LineReader::End::kInterrupt);
  ASSERT_EQ(write(ends[1], "a\n", 2), 2);
  EXPECT_EQ(reader.ReadMessage().text, "a") << "taken once";
  signal(SIGINT, SIG_DFL);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace quern::cli
