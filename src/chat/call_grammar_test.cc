// What the grammar of calls lets through, the parser reads as the calls that were meant.
#include "chat/call_grammar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/json.h"
#include "chat/tool_call_parser.h"
#include "grammar/nested_text.h"
#include "grammar/test_walk.h"

namespace quern::chat {
namespace {

namespace json = boost::json;
using grammar::Accepts;

Tool MakeTool(std::string_view name, std::string_view parameters, bool strict = false) {
  Tool tool;
  tool.name = name;
  tool.strict = strict;
  json::object function{{"name", name}, {"parameters", ParseJson(parameters, {.max_depth = 64}).value()}};
  tool.declaration = {{"type", "function"}, {"function", std::move(function)}};
  return tool;
}

constexpr const char* kWriteFile = R"({"type":"object","properties":{"path":{"type":"string"},
  "content":{"type":"string"},"mode":{"enum":["append","replace"]},"lines":{"type":"integer","minimum":1}},
  "required":["path","content"],"additionalProperties":false})";
constexpr const char* kSearch = R"({"type":"object","properties":{
  "query":{"type":["string","null"]},"limit":{"anyOf":[{"type":"integer"},{"type":"null"}]},
  "where":{"type":"array","items":{"$ref":"#/$defs/place"}},"deep":{"type":"boolean"},
  "code":{"type":"string","pattern":"^[A-Z]{2}-\\d+$"},"word":{"type":"string","minLength":2,"maxLength":4}},
  "required":["where","code","word"],"$defs":{"place":{"type":"object","properties":{"dir":{"type":"string"},
  "depth":{"type":"number"}},"required":["dir"],"additionalProperties":false}}})";

std::vector<Tool> Tools(bool strict) {
  return {MakeTool("write_file", kWriteFile, strict), MakeTool("search", kSearch, strict),
          MakeTool("now", "{}", strict)};
}

grammar::GrammarSource Of(const CallGrammarOptions& options) {
  const auto source = CallGrammar(options);
  EXPECT_TRUE(source.has_value()) << source.error().ToString();
  return source.value_or(grammar::GrammarSource{});
}

std::string Xml(const std::string& inside) { return "<tool_call>\n<function=" + inside + "</function>\n</tool_call>"; }
std::string Parameter(const std::string& name, const std::string& value) {
  return "<parameter=" + name + ">\n" + value + "\n</parameter>\n";
}

struct Call {
  std::string name;
  json::object arguments;
};
struct Parsed {
  std::string text;
  std::vector<Call> calls;
  bool complete = true;
  std::vector<std::string> warnings;
};

// n_bytes at a time.
Parsed Parse(std::string_view text, ToolCallSyntax syntax, std::span<const Tool> tools,
             size_t n_bytes = std::string_view::npos) {
  const auto parser = ToolCallParser::Create({.syntax = syntax, .tools = tools});
  std::vector<ParseEvent> events;
  for (; !text.empty(); text.remove_prefix(std::min(n_bytes, text.size())))
    parser->Feed(text.substr(0, n_bytes), events);
  parser->Finish(events);
  Parsed parsed;
  std::vector<std::string> arguments;
  for (const auto& event : events) {
    if (const auto* content = std::get_if<ContentDelta>(&event)) parsed.text += content->text;
    if (const auto* begin = std::get_if<ToolCallBegin>(&event)) {
      parsed.calls.push_back({begin->name, {}});
      arguments.emplace_back();
    }
    if (const auto* piece = std::get_if<ToolCallArguments>(&event)) arguments.back() += piece->fragment;
    if (const auto* end = std::get_if<ToolCallEnd>(&event)) parsed.complete = parsed.complete && end->complete;
    if (const auto* warning = std::get_if<ParseWarning>(&event)) parsed.warnings.push_back(warning->what);
  }
  for (size_t i = 0; i < arguments.size(); ++i)
    parsed.calls[i].arguments = ParseJson(arguments[i], {.max_depth = 128}).value().as_object();
  return parsed;
}

TEST(CallGrammar, ForcedXmlCalls) {
  const auto tools = Tools(false);
  const auto source = Of({.tools = tools});
  const std::string path = Parameter("path", "a.py");
  EXPECT_TRUE(Accepts(source, Xml("write_file>\n" + path + Parameter("content", "x = 1\n\nif x < 2:\n  pass\n"))));
  EXPECT_TRUE(Accepts(source, Xml("write_file>\n" + path + Parameter("content", "") + Parameter("mode", "append") +
                                  Parameter("lines", "12"))));
  EXPECT_TRUE(Accepts(source, Xml("now>\n")));
  EXPECT_TRUE(Accepts(source, Xml("now>\n") + "\n" + Xml("now>\n")));
  EXPECT_TRUE(Accepts(source, Xml("search>\n" + Parameter("where", R"([{"dir": "src", "depth": 1.5}])") +
                                  Parameter("code", "AB-12") + Parameter("word", "wörd"))));
  for (const std::string& bad :
       {std::string("Sure."), std::string(" ") + Xml("now>\n"), Xml("then>\n"), Xml("write_file>\n" + path),
        Xml("write_file>\n" + Parameter("content", "") + path), Xml("write_file>\n" + path + path),
        Xml("write_file>\n" + path + Parameter("content", "") + Parameter("mode", "overwrite")),
        Xml("write_file>\n" + path + Parameter("content", "") + Parameter("lines", "0")),
        Xml("write_file>\n" + path + Parameter("content", "") + Parameter("lines", "many")),
        Xml("search>\n" + Parameter("where", "[{}]") + Parameter("code", "AB-1") + Parameter("word", "abc")),
        Xml("search>\n" + Parameter("where", "[]") + Parameter("code", "A-1") + Parameter("word", "abc")),
        Xml("search>\n" + Parameter("where", "[]") + Parameter("code", "AB-1") + Parameter("word", "abcde")),
        Xml("write_file>\n" + path + Parameter("content", "a</parameter>b")), Xml("now>\n") + "\nDone."}) {
    EXPECT_FALSE(Accepts(source, bad)) << bad;
  }
  EXPECT_FALSE(Accepts(Of({.tools = tools, .parallel = false}), Xml("now>\n") + "\n" + Xml("now>\n")));
  EXPECT_FALSE(Accepts(Of({.tools = std::span(tools).first(1)}), Xml("now>\n")));
}

TEST(CallGrammar, ForcedHermesCalls) {
  const auto tools = Tools(false);
  const auto source = Of({.syntax = ToolCallSyntax::kHermesJson, .tools = tools});
  const auto call = [](const std::string& inside) { return "<tool_call>\n" + inside + "\n</tool_call>"; };
  EXPECT_TRUE(Accepts(source, call(R"({"name": "now", "arguments": {}})")));
  EXPECT_TRUE(
      Accepts(source, call(R"({"name": "write_file", "arguments": {"path": "a", "content": "</tool_call>"}})")));
  EXPECT_FALSE(Accepts(source, call(R"({"name": "write_file", "arguments": {"path": "a"}})")));
  EXPECT_FALSE(Accepts(source, call(R"({"name": "other", "arguments": {}})")));
  EXPECT_FALSE(Accepts(source, R"({"name": "now", "arguments": {}})"));
}

TEST(CallGrammar, StrictFunctionsAmongText) {
  const auto tools = Tools(true);
  const auto source = Of({.tools = tools, .calls_are = CallsAre::kAmongText});
  EXPECT_TRUE(Accepts(source, "A plain answer with <tags> and {\"json\": 1}."));
  EXPECT_TRUE(Accepts(source, ""));
  EXPECT_TRUE(Accepts(source, "Let me see.\n" + Xml("now>\n") + "\n" + Xml("now>\n")));
  EXPECT_TRUE(Accepts(source, Xml("now>\n") + "\nDone."));
  EXPECT_FALSE(Accepts(source, "Look: <tool_call> is a tag."));
  EXPECT_FALSE(Accepts(source, "<function=now>\n</function>"));
  EXPECT_FALSE(Accepts(source, "x\n <function=now>\n</function>"));
  EXPECT_TRUE(Accepts(source, "write `<function=now>` in code"));
  EXPECT_FALSE(Accepts(source, Xml("write_file>\n" + Parameter("path", "a"))));
  EXPECT_FALSE(Accepts(Of({.tools = tools, .calls_are = CallsAre::kAmongText, .parallel = false}),
                       Xml("now>\n") + "\n" + Xml("now>\n")));
  const auto hermes = Of({.syntax = ToolCallSyntax::kHermesJson, .tools = tools, .calls_are = CallsAre::kAmongText});
  EXPECT_FALSE(Accepts(hermes, R"({"name": "now", "arguments": {}})"));
  EXPECT_FALSE(Accepts(hermes, "```json\n{\"name\": \"now\"}\n```"));
  EXPECT_TRUE(Accepts(hermes, R"(It is {"name": 3}.)"));
}

TEST(CallGrammar, CallsOrADocument) {
  const auto tools = Tools(false);
  const auto source = Of({.tools = tools, .calls_are = CallsAre::kOrDocument, .document = R"({"type":"integer"})"});
  EXPECT_TRUE(Accepts(source, "42"));
  EXPECT_TRUE(Accepts(source, Xml("now>\n")));
  EXPECT_FALSE(Accepts(source, "forty-two"));
  EXPECT_FALSE(Accepts(source, Xml("now>\n") + "42"));
}

std::string ErrorOf(const Tool& tool) {
  const auto source = CallGrammar({.tools = std::span(&tool, 1)});
  if (!source) return source.error().ToString();
  const auto compiled = grammar::DemoCompiler()->Compile(*source);
  return compiled ? "" : compiled.error().ToString();
}

TEST(CallGrammar, StrictSchemasThatCannotBeEnforcedAreNamed) {
  const auto with = [](const std::string& property) {
    return R"({"type":"object","properties":{"p":)" + property + R"(},"required":["p"]})";
  };
  const std::pair<std::string, const char*> cases[] = {
      {with(R"({"type":"string","format":"uuid"})"), "'format' of parameter 'p'"},
      {with(R"({"type":"string","not":{}})"), "'not'"},
      {with(R"({"anyOf":[{"type":"string"},{"type":"integer","minimum":3}]})"), "'anyOf' of parameter 'p'"},
      {with(R"({"$ref":"#/$defs/none"})"), "'#/$defs/none' is not in '$defs'"},
      {with(R"({"$ref":"https://example.com/x"})"), "$ref"},
      {with(R"({"type":"array","uniqueItems":true})"), "'uniqueItems'"},
      {with(R"({"enum":["a</parameter>"]})"), "'enum' of parameter 'p'"},
      {with(R"({"enum":["5",7]})"), "'5' does not read back"},
      {with(R"({"type":"string","pattern":"^a|b$"})"), "'pattern'"},
      {R"({"type":"object","properties":{"a>b":{}}})", "'a>b' cannot be written"},
      {R"({"type":"object","properties":{},"required":["q"]})", "'q', which is not in"},
      {R"({"type":"object","oneOf":[{"required":["a"]}]})", "'oneOf' of the parameters"},
      {with(R"({"enum":["a"],"minLength":3})"), "'minLength' of parameter 'p' cannot be enforced beside"},
      {with(R"({"properties":{"a":{}}})"), "'properties' of parameter 'p'"},
      {with(R"({"type":"array","items":{"$ref":"#"}})"), "'#' is not in '$defs'"},
      {with(R"({"type":"string","minLength":"3"})"), "'minLength' of parameter 'p'"},
      {R"({"type":"object","minProperties":1})", "'minProperties'"},
  };
  for (const auto& [schema, words] : cases) {
    EXPECT_NE(ErrorOf(MakeTool("f", schema, true)).find(words), std::string::npos)
        << schema << ": " << ErrorOf(MakeTool("f", schema, true));
    EXPECT_EQ(ErrorOf(MakeTool("f", schema, false)), "") << schema << ": not strict, so enforced as far as it goes";
  }
}

// ---- random tokens ----

bool HasType(const json::value& value, std::string_view type) {
  return (type == "string" && value.is_string()) || (type == "integer" && value.is_int64()) ||
         (type == "boolean" && value.is_bool()) || (type == "array" && value.is_array()) ||
         (type == "null" && value.is_null());
}

void ExpectFits(const Call& call) {
  const json::object& a = call.arguments;
  const auto is = [&](const char* key, std::initializer_list<const char*> types) {
    if (!a.contains(key)) return true;
    return std::any_of(types.begin(), types.end(), [&](const char* t) { return HasType(a.at(key), t); });
  };
  if (call.name == "write_file") {
    EXPECT_TRUE(a.contains("path") && a.contains("content") && is("path", {"string"}) && is("content", {"string"}) &&
                is("lines", {"integer"}));
    if (a.contains("mode")) {
      EXPECT_TRUE(a.at("mode") == "append" || a.at("mode") == "replace");
    }
    if (a.contains("lines")) {
      EXPECT_GE(a.at("lines").as_int64(), 1);
    }
  } else if (call.name == "search") {
    EXPECT_TRUE(a.contains("where") && is("where", {"array"}) && is("query", {"string", "null"}) &&
                is("limit", {"integer", "null"}) && is("deep", {"boolean"}));
    EXPECT_EQ(std::string_view(a.at("code").as_string()).find('-'), 2U);
    for (const auto& place : a.at("where").as_array()) EXPECT_TRUE(place.at("dir").is_string());
  } else {
    EXPECT_EQ(call.name, "now");
  }
}

void WalkAndParse(const CallGrammarOptions& options, unsigned seed, int n_walks) {
  const auto source = Of(options);
  const bool hermes = options.syntax == ToolCallSyntax::kHermesJson;
  const std::string closer = hermes ? "\n</tool_call>" : "\n</parameter>\n</function>\n</tool_call>";
  // Among text a walk begins where a call does: at random it would hardly ever come to one.
  const std::string begun = options.calls_are == CallsAre::kAmongText ? "Let me see.\n<tool_call>" : "";
  const auto rest = grammar::DemoCompiler()->Compile(source).value()->After(grammar::DemoTokenizer()->Encode(begun));
  ASSERT_TRUE(rest.has_value()) << rest.error().ToString();
  std::mt19937 rng(seed);
  int n_calls = 0;
  int n_ended = 0;
  for (int i = 0; i < n_walks; ++i) {
    const auto constraint = (*rest)->Start().value();
    grammar::Walk walk = grammar::RandomWalk(*constraint, rng, closer, 80, 3000);
    walk.text = begun + walk.text;
    if (!walk.ended) continue;
    ++n_ended;
    const Parsed parsed = Parse(walk.text, options.syntax, options.tools);
    EXPECT_TRUE(parsed.complete) << walk.text;
    EXPECT_TRUE(parsed.warnings.empty()) << walk.text << "\n" << parsed.warnings[0];
    EXPECT_FALSE(parsed.calls.empty()) << walk.text;
    if (begun.empty()) {
      EXPECT_EQ(parsed.text, "") << walk.text;
    }
    size_t n_openers = 0;
    for (size_t at = walk.text.find("<tool_call>\n"); at != std::string::npos;
         at = walk.text.find("<tool_call>\n", at + 1))
      ++n_openers;
    if (!hermes) {
      EXPECT_EQ(parsed.calls.size(), n_openers) << walk.text;
    }
    n_calls += static_cast<int>(parsed.calls.size());
    for (const Call& call : parsed.calls) {
      SCOPED_TRACE(walk.text);
      ExpectFits(call);
    }
  }
  EXPECT_GT(n_ended, n_walks * 8 / 10);
  EXPECT_GE(n_calls, n_ended);
}

TEST(CallGrammar, RandomTokensMakeReadableCalls) {
  for (const bool strict : {false, true}) {
    const auto tools = Tools(strict);
    for (const ToolCallSyntax syntax : {ToolCallSyntax::kQwen3CoderXml, ToolCallSyntax::kHermesJson}) {
      WalkAndParse({.syntax = syntax, .tools = tools}, 1, 60);
      WalkAndParse({.syntax = syntax, .tools = tools, .calls_are = CallsAre::kAmongText}, 2, 40);
    }
  }
}

Tool MakeGrammarTool(std::string_view name, std::string lark) {
  Tool tool =
      MakeTool(name, R"({"type":"object","properties":{"input":{"type":"string"}},"required":["input"]})", true);
  tool.text_grammar = std::move(lark);
  return tool;
}

std::shared_ptr<const grammar::Grammar> WithTexts(const CallGrammarOptions& options) {
  const auto compiled = grammar::CompileNested(*grammar::DemoCompiler(), Of(options), TextsInCalls(options.tools));
  EXPECT_TRUE(compiled.has_value()) << compiled.error().ToString();
  return *compiled;
}

bool Takes(const grammar::Grammar& grammar, std::string_view text) {
  const auto rest = grammar.After(grammar::DemoTokenizer()->Encode(text, {.added = tokenizer::AddedTokens::kMatch}));
  auto mask = grammar::EmptyMask();
  return rest.has_value() && (*rest)->Start().value()->ComputeMask(mask).value_or(false);
}

// The patch grammar that Codex publishes.
constexpr const char* kPatchGrammar = R"(start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line

change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
)";

TEST(CallGrammar, ATextHasTheFormOfItsGrammar) {
  const std::vector<Tool> tools = {MakeGrammarTool("apply_patch", kPatchGrammar), Tools(false)[2]};
  for (const CallsAre calls_are : {CallsAre::kForced, CallsAre::kAmongText}) {
    const auto grammar = WithTexts({.tools = tools, .calls_are = calls_are});
    const std::string patch =
        "*** Begin Patch\n*** Add File: a.html\n+<b>x</b>\n+\n*** Delete File: b\n*** Update File: c\n*** Move to: d\n"
        "@@ def f():\n-a;\n+b;\n@@\n c\n*** End of File\n*** End Patch";
    const auto call = [](const std::string& text) { return Xml("apply_patch>\n" + Parameter("input", text)); };
    EXPECT_TRUE(Takes(*grammar, call(patch)));
    EXPECT_TRUE(Takes(*grammar, call(patch + "\n")));
    EXPECT_TRUE(Takes(*grammar, Xml("now>\n") + "\n" + call(patch) + "\n" + call(patch) + "\n" + Xml("now>\n")));
    EXPECT_FALSE(Takes(*grammar, call(patch + "\n\n")));
    EXPECT_FALSE(Takes(*grammar, call(patch.substr(0, patch.size() - 1))));
    EXPECT_FALSE(Takes(*grammar, call(patch) + "\n" + call(patch + "x")));
    EXPECT_FALSE(Takes(*grammar, call("*** Begin Patch\n*** Add File: a\nx\n*** End Patch")));
    EXPECT_FALSE(Takes(*grammar, call("*** Begin Patch\n*** Add File: a\n+</parameter>\n*** End Patch")))
        << "what would end the value cannot be part of it";
  }
}

// What the parser hands over of a text is what was held to the grammar, whole and byte by byte.
TEST(CallGrammar, RandomTextsFitTheirGrammar) {
  struct Case {
    std::string lark;
    std::string end;
  };
  const std::vector<Case> cases = {
      {"start: line+ \".\" LF?\nline: /[a-z][a-z<>\\/ ]{0,30}/ LF\n%import common.LF\n", ".\n"},
      {kPatchGrammar, "\n*** End Patch"},
      {R"(start: /(.|\n)+/)", ""},
      {R"(start: /[\s\S]+/)", ""},
      {R"(start: /[^<]*/)", ""},
      {"start: \"SELECT \" /[a-z, ]+/ (LF \"WHERE \" /[a-z =]+/)? \";\"\n%import common.LF", ";"},
  };
  std::mt19937 rng(3);
  for (const auto& [lark, end] : cases) {
    const std::vector<Tool> tools = {MakeGrammarTool("tell", lark), Tools(false)[2]};
    const auto grammar = WithTexts({.tools = tools});
    int n_texts = 0;
    for (int i = 0; i < 40; ++i) {
      const grammar::Walk walk = grammar::RandomWalk(*grammar->Start().value(), rng,
                                                     end + "\n</parameter>\n</function>\n</tool_call>", 60, 1000);
      if (!walk.ended) continue;
      const Parsed parsed = Parse(walk.text, ToolCallSyntax::kQwen3CoderXml, tools);
      EXPECT_TRUE(parsed.complete && parsed.warnings.empty()) << walk.text;
      const Parsed streamed = Parse(walk.text, ToolCallSyntax::kQwen3CoderXml, tools, 1);
      ASSERT_EQ(streamed.calls.size(), parsed.calls.size());
      for (size_t k = 0; k < parsed.calls.size(); ++k) {
        EXPECT_EQ(streamed.calls[k].arguments, parsed.calls[k].arguments) << walk.text;
        if (parsed.calls[k].name != "tell") continue;
        ++n_texts;
        const std::string text(parsed.calls[k].arguments.at("input").as_string());
        EXPECT_TRUE(Accepts({grammar::GrammarKind::kLark, lark}, text)) << lark << "\n" << text;
      }
    }
    EXPECT_GT(n_texts, 10) << lark;
  }
}

TEST(CallGrammar, CallsInJsonHaveNoTextGrammar) {
  const std::vector<Tool> tools = {MakeGrammarTool("tell", "start: /x/")};
  const auto source = CallGrammar({.syntax = ToolCallSyntax::kHermesJson, .tools = tools});
  ASSERT_FALSE(source.has_value());
  EXPECT_EQ(source.error().code(), Code::kUnsupported);
  EXPECT_NE(source.error().message().find("'tell'"), std::string::npos) << source.error().message();
}

}  // namespace
}  // namespace quern::chat
