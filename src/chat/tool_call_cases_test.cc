// The text cases of tests/cases/chat, each fed whole, in every two pieces, byte by byte and in random pieces.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/json_text.h"
#include "base/utf8.h"
#include "chat/tool_call_parser.h"

namespace quern::chat {
namespace {

namespace json = boost::json;

struct Case {
  std::string name;
  ToolCallSyntax syntax = ToolCallSyntax::kQwen3CoderXml;
  std::vector<Tool> tools;
  std::string input;
  std::vector<std::string> expected;  // lines as in the file
};

std::vector<Tool> ReadTools(const std::string& text) {
  std::vector<Tool> tools;
  const json::value declared = json::parse(text);
  for (const auto& member : declared.get_object()) {
    const std::string name(member.key());
    tools.push_back({name, {{"type", "function"}, {"function", {{"name", name}, {"parameters", member.value()}}}}});
  }
  return tools;
}

std::vector<Case> ReadCases(const std::filesystem::path& path) {
  enum class Part { kHead, kInput, kExpect };
  std::vector<Case> cases;
  std::vector<Tool> tools;
  Part part = Part::kHead;
  std::ifstream file(path, std::ios::binary);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("=== ")) {
      cases.push_back({.name = line.substr(4), .tools = tools});
      part = Part::kHead;
    } else if (line == "--- input") {
      part = Part::kInput;
    } else if (line == "--- expect") {
      part = Part::kExpect;
      cases.back().input.pop_back();
    } else if (part == Part::kInput) {
      cases.back().input += line + "\n";
    } else if (part == Part::kExpect) {
      cases.back().expected.push_back(line);
    } else if (line.starts_with("syntax: hermes")) {
      cases.back().syntax = ToolCallSyntax::kHermesJson;
    } else if (line.starts_with("tools: ")) {
      cases.back().tools = tools = ReadTools(line.substr(7));
    } else {
      EXPECT_TRUE(line.starts_with("#") || line.starts_with("syntax: xml")) << path << ": " << line;
    }
  }
  return cases;
}

// Events as the lines of a case file, neighbouring pieces joined. Checks what every stream of events must obey.
class Recorder {
 public:
  void Take(const std::vector<ParseEvent>& events) {
    for (const ParseEvent& event : events) std::visit([this](const auto& e) { On(e); }, event);
  }
  std::vector<std::string> Lines() {
    EXPECT_FALSE(open_) << "a call was left open";
    CloseContent();
    return lines_;
  }
  const std::string& ids() const { return ids_; }

 private:
  void On(const ContentDelta& e) {
    EXPECT_FALSE(e.text.empty());
    EXPECT_TRUE(IsValidUtf8(e.text));
    EXPECT_FALSE(open_) << "content inside a call";
    content_ += e.text;
  }
  void On(const ToolCallBegin& e) {
    EXPECT_FALSE(open_);
    EXPECT_EQ(e.index, n_calls_++);
    CloseContent();
    open_ = true;
    call_ = e.name;
    arguments_.clear();
    ids_ += e.id + " ";
    EXPECT_EQ(e.id.size(), 29U);
    EXPECT_TRUE(e.id.starts_with("call_"));
  }
  void On(const ToolCallArguments& e) {
    EXPECT_TRUE(open_);
    EXPECT_EQ(e.index, n_calls_ - 1);
    EXPECT_TRUE(IsValidUtf8(e.fragment));
    arguments_ += e.fragment;
  }
  void On(const ToolCallEnd& e) {
    EXPECT_TRUE(open_);
    EXPECT_EQ(e.index, n_calls_ - 1);
    open_ = false;
    const auto parsed = ParseJson(arguments_, {.max_depth = 100});
    EXPECT_TRUE(parsed && parsed->is_object()) << arguments_;
    lines_.push_back((e.complete ? "call " : "cut ") + call_ + " " + arguments_);
  }
  void On(const ParseWarning& e) {
    CloseContent();
    lines_.push_back("warning " + e.what);
  }
  void CloseContent() {
    if (!content_.empty()) lines_.push_back("content " + JsonString(content_));
    content_.clear();
  }

  bool open_ = false;
  int n_calls_ = 0;
  std::string content_;
  std::string call_;
  std::string arguments_;
  std::string ids_;
  std::vector<std::string> lines_;
};

using Cuts = std::vector<size_t>;

std::vector<std::string> Parse(const Case& c, const Cuts& cuts, bool buffer_values = false, uint64_t id_seed = 7) {
  const auto parser = ToolCallParser::Create(
      {.syntax = c.syntax, .tools = c.tools, .buffer_values = buffer_values, .id_seed = id_seed});
  Recorder recorder;
  size_t from = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t to = i < cuts.size() ? cuts[i] : c.input.size();
    std::vector<ParseEvent> events;
    parser->Feed(std::string_view(c.input).substr(from, to - from), events);
    recorder.Take(events);
    from = to;
  }
  std::vector<ParseEvent> events;
  parser->Finish(events);
  recorder.Take(events);
  EXPECT_FALSE(parser->in_call());
  return recorder.Lines();
}

bool Matches(const std::string& expected, const std::string& got) {
  if (!expected.starts_with("warning ")) return expected == got;
  return got.starts_with("warning ") && got.find(expected.substr(8)) != std::string::npos;
}

void ExpectLines(const Case& c, const std::vector<std::string>& got) {
  bool same = got.size() == c.expected.size();
  for (size_t i = 0; same && i < got.size(); ++i) same = Matches(c.expected[i], got[i]);
  std::string shown;
  for (const std::string& line : got) shown += line + "\n";
  EXPECT_TRUE(same) << c.name << " gave\n" << shown;
}

void RunCase(const Case& c) {
  SCOPED_TRACE(c.name);
  const std::vector<std::string> whole = Parse(c, {});
  ExpectLines(c, whole);
  ASSERT_EQ(Parse(c, {}, true), whole) << "buffered";
  for (size_t cut = 0; cut <= c.input.size(); ++cut) {
    ASSERT_EQ(Parse(c, {cut}), whole) << "cut at " << cut;
  }
  Cuts every;
  for (size_t i = 1; i < c.input.size(); ++i) every.push_back(i);
  ASSERT_EQ(Parse(c, every), whole) << "byte by byte";
  std::mt19937 rng(20260801);
  for (int round = 0; round < 30; ++round) {
    Cuts cuts;
    for (size_t at = 0; (at += 1 + rng() % 40) < c.input.size();) cuts.push_back(at);
    ASSERT_EQ(Parse(c, cuts), whole) << "round " << round;
  }
}

TEST(ToolCallCases, EveryCaseInEverySplit) {
  int n_cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/cases/chat")) {
    if (entry.path().extension() != ".case") continue;
    SCOPED_TRACE(entry.path().string());
    for (const Case& c : ReadCases(entry.path())) {
      RunCase(c);
      ++n_cases;
    }
  }
  EXPECT_GE(n_cases, 60);
}

// Text put together from the pieces that decide something. Nothing is said about what it means; but all splits agree,
// arguments are always one JSON object, and every word of the text is found again.
TEST(ToolCallCases, RandomTextIsTheSameInEverySplitAndNoWordIsLost) {
  const std::vector<std::string> pieces = {"<tool_call>",
                                           "</tool_call>",
                                           "<function=run>",
                                           "<function=other>",
                                           "</function>",
                                           "<parameter=command>",
                                           "<parameter=n>",
                                           "<parameter=",
                                           "</parameter>",
                                           "\n",
                                           "\n",
                                           " ",
                                           "{\"name\": \"run\", \"arguments\": {\"command\": \"",
                                           "\"}}",
                                           "</",
                                           "<",
                                           ">",
                                           "é",
                                           "日",
                                           "\"",
                                           "\\",
                                           "42",
                                           "W"};
  Case c;
  c.tools = ReadTools(R"({"run":{"properties":{"command":{"type":"string"},"n":{"type":["integer","object"]}}}})");
  std::mt19937 rng(42);
  for (int round = 0; round < 3000; ++round) {
    c.syntax = round % 3 == 0 ? ToolCallSyntax::kHermesJson : ToolCallSyntax::kQwen3CoderXml;
    c.input.clear();
    const size_t n_pieces = 1 + rng() % 24;
    size_t n_words = 0;
    for (size_t i = 0; i < n_pieces; ++i) {
      const std::string& piece = pieces[rng() % pieces.size()];
      c.input += piece == "W" ? "word" + std::to_string(n_words++) + "." : piece;
    }
    const std::vector<std::string> whole = Parse(c, {});
    std::string all;
    for (const std::string& line : whole) all += line;
    for (size_t i = 0; i < n_words; ++i) {
      // A repeated parameter's value is the one thing that is left out; its warning says so.
      ASSERT_TRUE(all.find("word" + std::to_string(i) + ".") != std::string::npos ||
                  all.find("was given twice") != std::string::npos || all.find("were left out") != std::string::npos)
          << c.input << "\n=>\n"
          << all;
    }
    Cuts every;
    for (size_t i = 1; i < c.input.size(); ++i) every.push_back(i);
    ASSERT_EQ(Parse(c, every), whole) << c.input;
    ASSERT_EQ(Parse(c, {}, true), whole) << c.input;
    ASSERT_EQ(Parse(c, {rng() % (c.input.size() + 1)}), whole) << c.input;
  }
}

}  // namespace
}  // namespace quern::chat
