#include "cli/command_line.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace quern::cli {
namespace {

std::string ErrorOf(const std::vector<std::string>& args) {
  const auto parsed = ParseCommandLine(args);
  return parsed ? "accepted" : parsed.error().message();
}

TEST(CommandLine, ReadsCommandsFlagsAndPlaces) {
  const auto serve =
      ParseCommandLine({"serve", "--listen", "127.0.0.1:0", "--threads=3", "--alias", "a", "--alias", "b"});
  ASSERT_TRUE(serve) << serve.error().message();
  EXPECT_EQ(serve->command, Command::kServe);
  EXPECT_EQ(serve->settings.threads, 3);
  EXPECT_EQ(serve->settings.aliases, (std::vector<std::string>{"a", "b"}));
  const auto chat = ParseCommandLine({"chat", "hello there", "--temperature", "0"});
  ASSERT_TRUE(chat) << chat.error().message();
  EXPECT_EQ(chat->positional, "hello there");
  EXPECT_EQ(chat->settings.temperature, 0.0);
  EXPECT_FALSE(chat->settings.top_k);
  const auto after = ParseCommandLine({"chat", "--temperature", "0", "hello"});
  ASSERT_TRUE(after) << "a flag takes one value and leaves the rest: " << after.error().message();
  EXPECT_EQ(after->positional, "hello");
  const auto complete = ParseCommandLine({"complete", "a.py:3:4"});
  ASSERT_TRUE(complete) << complete.error().message();
  EXPECT_EQ(complete->positional, "a.py:3:4");
  const auto tokenize = ParseCommandLine({"tokenize", "--ids", "x"});
  ASSERT_TRUE(tokenize);
  EXPECT_TRUE(tokenize->ids_only);
  EXPECT_TRUE(tokenize->has_positional);
  EXPECT_EQ(ParseCommandLine({"--version"})->command, Command::kVersion);
}

TEST(CommandLine, MistakesGetOneSentenceAndASuggestion) {
  EXPECT_EQ(ErrorOf({"serve", "--thread", "4"}), "quern serve has no flag --thread; did you mean --threads?");
  EXPECT_EQ(ErrorOf({"serve", "--thread=4"}), "quern serve has no flag --thread; did you mean --threads?");
  EXPECT_EQ(ErrorOf({"complete"}), "quern complete needs FILE:LINE[:COL]");
  EXPECT_EQ(ErrorOf({"pack"}), "quern pack needs IN");
  EXPECT_EQ(ErrorOf({"pack", "a", "b", "c"}), "quern pack does not know what to do with \"c\"");
  EXPECT_EQ(ErrorOf({"kl", "a"}), "quern kl needs SOURCE and OTHER");
  EXPECT_EQ(ErrorOf({"chta"}), "there is no command \"chta\"; did you mean chat?");
  EXPECT_EQ(ErrorOf({"qqqqqqqqqq"}), "there is no command \"qqqqqqqqqq\"; see quern --help");
  EXPECT_EQ(ErrorOf({"serve", "extra"}), "quern serve does not know what to do with \"extra\"");
  EXPECT_EQ(ErrorOf({"serve", "--threads"}), "--threads needs a value");
  EXPECT_EQ(ErrorOf({"serve", "--threads", "1", "--threads", "2"}), "--threads is given 2 times");
  EXPECT_EQ(ErrorOf({"serve", "--threads", "many"}), "--threads must be a whole number from 0 to 4096, not \"many\"");
  EXPECT_EQ(ErrorOf({"chat", "--top-p", "2"}), "--top-p must be a number from 1e-09 to 1, not \"2\"");
  EXPECT_NE(ErrorOf({}), "accepted");
  EXPECT_NE(ErrorOf({"version", "--model", "x"}), "accepted");
}

TEST(CommandLine, HelpHasExamplesEverywhere) {
  for (const char* command : {"serve", "chat", "complete", "inspect", "tokenize", "version"}) {
    const auto parsed = ParseCommandLine({command, "--help"});
    ASSERT_TRUE(parsed) << command;
    EXPECT_NE(parsed->help.find("Example"), std::string::npos) << command;
    EXPECT_NE(parsed->help.find(std::string("quern ") + command), std::string::npos) << command;
  }
  EXPECT_NE(ParseCommandLine({"--help"})->help.find("Examples"), std::string::npos);
}

TEST(CommandLine, FlagsWinOverTheConfigFile) {
  const std::string path = testing::TempDir() + "quern_test_" + std::to_string(getpid()) + ".toml";
  std::ofstream(path) << "threads = 2\ncontext = 1000\nmax_tokens = 5\n";
  const auto parsed = ParseCommandLine({"serve", "--config", path, "--threads", "7"});
  std::remove(path.c_str());
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->settings.threads, 7);
  EXPECT_EQ(parsed->settings.context, 1000);
  EXPECT_EQ(parsed->settings.max_tokens, 5) << "keys of other commands may stand in the same file";
}

}  // namespace
}  // namespace quern::cli
