// Fuzz target: any bytes as a model's output. The first byte chooses the form and whether values are buffered; the
// text's own bytes choose how it is cut. Whatever it is, cut and whole agree, and every call's arguments are one JSON
// object.
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/utf8.h"
#include "chat/tool_call_parser.h"

namespace {

using namespace quern::chat;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "tool_call: %s\n", what);
  std::abort();
}

std::vector<Tool> Tools() {
  const boost::json::object run = {{"name", "run"},
                                   {"parameters",
                                    {{"properties",
                                      {{"command", {{"type", "string"}}},
                                       {"n", {{"type", {"integer", "null", "string"}}}},
                                       {"o", {{"anyOf", {{{"type", "object"}}, {{"type", "array"}}}}}},
                                       {"b", {{"type", "boolean"}}}}}}}};
  return {{"run", {{"type", "function"}, {"function", run}}}, {"stop", {{"name", "stop"}}}};
}

// The events in one line of text, pieces joined.
class Summary {
 public:
  void Take(const std::vector<ParseEvent>& events) {
    for (const ParseEvent& event : events) std::visit([this](const auto& e) { On(e); }, event);
  }
  const std::string& Finish() {
    Require(!open_, "a call was left open");
    return all_;
  }

 private:
  void Tag(char kind) {
    if (kind != last_ || kind != 'c') all_ += std::string("\x01") + kind;
    last_ = kind;
  }
  void On(const ContentDelta& e) {
    Require(!open_ && !e.text.empty() && quern::IsValidUtf8(e.text), "content");
    Tag('c');
    all_ += e.text;
  }
  void On(const ToolCallBegin& e) {
    Require(!open_ && e.index == n_calls_++ && !e.name.empty(), "begin of a call");
    open_ = true;
    arguments_.clear();
    Tag('b');
    all_ += e.name + e.id;
  }
  void On(const ToolCallArguments& e) {
    Require(open_ && e.index == n_calls_ - 1 && quern::IsValidUtf8(e.fragment), "arguments");
    arguments_ += e.fragment;
  }
  void On(const ToolCallEnd& e) {
    Require(open_ && e.index == n_calls_ - 1, "end of a call");
    open_ = false;
    const auto parsed = quern::ParseJson(arguments_, {.max_bytes = size_t{64} << 20, .max_depth = 100});
    Require(parsed && parsed->is_object(), ("arguments are no JSON object: " + arguments_).c_str());
    Tag(e.complete ? 'e' : 'x');
    all_ += arguments_;
  }
  void On(const ParseWarning& e) {
    Require(quern::IsValidUtf8(e.what), "warning");
    Tag('w');
    all_ += e.what;
  }

  std::string all_;
  std::string arguments_;
  char last_ = ' ';
  bool open_ = false;
  int n_calls_ = 0;
};

std::string Parse(std::string_view text, const ToolParserOptions& options, uint32_t cuts) {
  const auto parser = ToolCallParser::Create(options);
  Summary summary;
  std::vector<ParseEvent> events;
  while (!text.empty()) {
    cuts = cuts * 1664525 + 1013904223;
    const size_t n = cuts == 0 ? text.size() : 1 + (cuts >> 24) % 17;
    parser->Feed(text.substr(0, n), events);
    text.remove_prefix(n < text.size() ? n : text.size());
  }
  parser->Finish(events);
  Require(!parser->in_call(), "still in a call");
  summary.Take(events);
  return summary.Finish();
}

std::string ParseWhole(std::string_view text, const ToolParserOptions& options) {
  const auto parser = ToolCallParser::Create(options);
  Summary summary;
  std::vector<ParseEvent> events;
  parser->Feed(text, events);
  parser->Finish(events);
  summary.Take(events);
  return summary.Finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const std::vector<Tool> tools = Tools();
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  ToolParserOptions options{.tools = tools, .buffer_values = (data[0] & 2) != 0, .id_seed = 3};
  if ((data[0] & 1) != 0) options.syntax = ToolCallSyntax::kHermesJson;
  const std::string whole = ParseWhole(text, options);
  Require(Parse(text, options, 12345 + static_cast<uint32_t>(size)) == whole, "cut and whole differ");
  options.buffer_values = !options.buffer_values;
  Require(ParseWhole(text, options) == whole, "buffered and streamed differ");
  return 0;
}
