#include "chat/tool_call_parser.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

namespace quern::chat {
namespace {

Tool WriteFile() {
  return {"write_file",
          {{"type", "function"},
           {"function",
            {{"name", "write_file"},
             {"parameters",
              {{"type", "object"},
               {"properties", {{"content", {{"type", "string"}}}, {"mode", {{"type", "object"}}}}}}}}}}};
}

std::vector<ParseEvent> Feed(ToolCallParser& parser, std::string_view text) {
  std::vector<ParseEvent> events;
  parser.Feed(text, events);
  return events;
}

std::string Arguments(const std::vector<ParseEvent>& events) {
  std::string all;
  for (const ParseEvent& event : events) {
    if (const auto* piece = std::get_if<ToolCallArguments>(&event)) all += piece->fragment;
  }
  return all;
}

constexpr std::string_view kOpen = "<tool_call>\n<function=write_file>\n<parameter=content>\n";

TEST(ToolCallParser, NameComesFirstAndStringsStreamAsTheyArrive) {
  const std::vector<Tool> tools = {WriteFile()};
  const auto parser = ToolCallParser::Create({.tools = tools, .id_seed = 1});
  const auto begin = Feed(*parser, "<tool_call>\n<function=write_file>\n");
  ASSERT_EQ(begin.size(), 1U);
  EXPECT_EQ(std::get<ToolCallBegin>(begin[0]).name, "write_file");
  EXPECT_TRUE(parser->in_call());
  Feed(*parser, "<parameter=content>\n");
  EXPECT_EQ(Arguments(Feed(*parser, "line \"1\"\n")), R"({"content": "line \"1\")");
  EXPECT_EQ(Arguments(Feed(*parser, "line 2")), R"(\nline 2)");
  EXPECT_EQ(Arguments(Feed(*parser, " <")), " ");
  EXPECT_EQ(Arguments(Feed(*parser, "b>")), "<b>");
  EXPECT_EQ(Arguments(Feed(*parser, "\xE6\x97")), "");
  EXPECT_EQ(Arguments(Feed(*parser, "\xA5")), "日");
  EXPECT_EQ(Arguments(Feed(*parser, "\n</parameter>\n</function>")), R"("})");
  EXPECT_FALSE(parser->in_call());
  EXPECT_EQ(parser->n_calls(), 1);
}

TEST(ToolCallParser, WithoutToolsEverythingIsContent) {
  const auto parser = ToolCallParser::Create({});
  const auto events = Feed(*parser, std::string(kOpen) + "x");
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(std::get<ContentDelta>(events[0]).text, std::string(kOpen) + "x");
}

TEST(ToolCallParser, ProseIsNotHeldBackLongerThanATagCouldBe) {
  const std::vector<Tool> tools = {WriteFile()};
  const auto parser = ToolCallParser::Create({.tools = tools});
  EXPECT_EQ(std::get<ContentDelta>(Feed(*parser, "Use <tool_call>")[0]).text, "Use ");
  EXPECT_EQ(std::get<ContentDelta>(Feed(*parser, " and")[0]).text, "<tool_call> and");
  EXPECT_EQ(std::get<ContentDelta>(Feed(*parser, " 1 < 2")[0]).text, " 1 < 2");
}

TEST(ToolCallParser, IdsAreUniqueAndRandomUnlessSeeded) {
  const std::vector<Tool> tools = {WriteFile()};
  const std::string text = std::string(kOpen) + "x\n</parameter>\n</function>\n</tool_call>\n";
  std::vector<std::string> ids;
  for (const uint64_t seed : {0, 0, 5, 5}) {
    const auto parser = ToolCallParser::Create({.tools = tools, .id_seed = seed});
    for (const ParseEvent& event : Feed(*parser, text + text)) {
      if (const auto* begin = std::get_if<ToolCallBegin>(&event)) ids.push_back(begin->id);
    }
  }
  ASSERT_EQ(ids.size(), 8U);
  EXPECT_NE(ids[0], ids[1]);
  EXPECT_NE(ids[0], ids[2]);
  EXPECT_NE(ids[4], ids[5]);
  EXPECT_EQ(ids[4], ids[6]);
}

TEST(ToolCallParser, InvalidUtf8BecomesReplacementCharactersTheSameInEverySplit) {
  const std::vector<Tool> tools = {WriteFile()};
  const std::string text = "a\xff\xE6\x97<\xE6" + std::string(kOpen) + "\xC3\n\xF0\x9F\n</parameter>\n</function>";
  std::string whole;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const auto parser = ToolCallParser::Create({.tools = tools});
    std::string all;
    auto take = [&](std::string_view piece) {
      for (const ParseEvent& event : Feed(*parser, piece)) {
        if (const auto* content = std::get_if<ContentDelta>(&event)) all += content->text;
        if (const auto* piece = std::get_if<ToolCallArguments>(&event)) all += piece->fragment;
      }
    };
    take(std::string_view(text).substr(0, cut));
    take(std::string_view(text).substr(cut));
    if (cut == 0) whole = all;
    ASSERT_EQ(all, whole) << cut;
  }
  EXPECT_EQ(whole, "a��<�{\"content\": \"�\\n�\"}");
}

TEST(ToolCallParser, AValueTooLongToBufferGoesOnAsAString) {
  const std::vector<Tool> tools = {WriteFile()};
  const auto parser = ToolCallParser::Create({.tools = tools});
  Feed(*parser, "<tool_call>\n<function=write_file>\n<parameter=mode>\n");
  size_t n_bytes = 0;
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 10; ++i) n_bytes += Arguments(Feed(*parser, piece)).size();
  EXPECT_GT(n_bytes, size_t{10} << 20);
}

// Linear in the text, whatever it is made of, in time of the processor so that a busy machine does not count: four
// times the text takes nowhere near sixteen times as long.
TEST(ToolCallParser, HostileTextTakesLinearTime) {
  const std::vector<Tool> tools = {WriteFile()};
  for (const std::string_view unit :
       {"<", "<function=", "<tool_call>\n", "</parameter>\n", "\n", "<tool_call>\n{", "é"}) {
    for (const std::string_view head : {std::string_view(), kOpen}) {
      auto seconds = [&](size_t n_bytes) {
        std::string text(head);
        while (text.size() < n_bytes) text += unit;
        const std::clock_t start = std::clock();
        const auto parser = ToolCallParser::Create({.tools = tools});
        std::vector<ParseEvent> events;
        parser->Feed(text, events);
        parser->Finish(events);
        return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      };
      seconds(100'000);
      const double small = std::min({seconds(250'000), seconds(250'000), seconds(250'000)});
      const double large = std::min({seconds(1'000'000), seconds(1'000'000), seconds(1'000'000)});
      EXPECT_LT(large, 10 * small + 0.02) << unit << " after " << head;
    }
  }
}

}  // namespace
}  // namespace quern::chat
