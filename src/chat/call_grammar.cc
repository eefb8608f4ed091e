#include "chat/call_grammar.h"

#include <fmt/core.h>

#include <boost/json/serialize.hpp>

#include "base/check.h"
#include "chat/argument_grammar.h"
#include "grammar/json_schema.h"
#include "grammar/lark_text.h"

namespace quern::chat {

namespace json = boost::json;

namespace {

// A call's opener, and what the parser takes for the beginning of one.
constexpr const char* kFreeText =
    R"(FREE: /(?s:.*)/ & ~/(?s:.*)<tool_call>(?s:.*)/ & ~/((?s:.*)\n)?[ \t\r]*<function=(?s:.*)/
FIRST: FREE & ~/[ \t\r\n]*(```(json)?[ \t\r\n]*)?\{[ \t\r\n]*"name"(?s:.*)/
first[lazy]: FIRST "<tool_call>"
next[lazy]: FREE "<tool_call>"
)";

// The JSON schema of a whole arguments object.
Result<json::value> ArgumentsSchema(const Tool& tool, bool loose) {
  json::object schema = loose && !tool.strict ? json::object() : tool.parameters();
  if (!schema.contains("type")) schema["type"] = "object";
  auto enforced = grammar::EnforcedSchema(schema);
  if (!enforced && !tool.strict) return grammar::EnforcedSchema({{"type", "object"}});
  return enforced;
}

// Everything of a call behind "<tool_call>", as the Lark of rule `name` and the rules it needs.
Result<std::string> HermesFunction(const std::string& name, const Tool& tool, bool loose) {
  if (!tool.text_grammar.empty())
    return Error(Code::kUnsupported, "a grammar of its text cannot be enforced: this model writes its calls as JSON");
  QUERN_ASSIGN(const json::value schema, ArgumentsSchema(tool, loose));
  return fmt::format("{0}: {1} {0}_a \"}}\"\n{0}_a: %json {2}\n", name,
                     grammar::LarkString(fmt::format("\n{{\"name\": \"{}\", \"arguments\": ", tool.name)),
                     json::serialize(schema));
}

Result<std::string> XmlFunction(const std::string& name, const Tool& tool, bool loose) {
  QUERN_ASSIGN(const std::string parameters, ArgumentGrammar(name + "_a", tool, loose));
  return fmt::format("{0}: {1} {0}_a \"</function>\"\n{2}", name,
                     grammar::LarkString(fmt::format("\n<function={}>\n", tool.name)), parameters);
}

}  // namespace

Result<grammar::GrammarSource> CallGrammar(const CallGrammarOptions& options) {
  const bool hermes = options.syntax == ToolCallSyntax::kHermesJson;
  std::string functions;
  std::string rules;
  for (size_t i = 0; i < options.tools.size(); ++i) {
    const Tool& tool = options.tools[i];
    const std::string name = fmt::format("f{}", i);
    auto rule = hermes ? HermesFunction(name, tool, options.loose) : XmlFunction(name, tool, options.loose);
    if (!rule) return std::unexpected(rule.error().WithContext(fmt::format("function '{}'", tool.name)));
    functions += (i > 0 ? " | " : "") + name;
    rules += *rule;
  }
  rules += fmt::format("call: ({}) \"\\n</tool_call>\"\n", functions);
  if (!hermes) rules += kArgumentRules;
  const char* more = options.parallel ? "(\"\\n<tool_call>\" call)*" : "";
  std::string start;
  switch (options.calls_are) {
    case CallsAre::kForced:
      start = fmt::format("start: \"<tool_call>\" call {}\n", more);
      break;
    case CallsAre::kAmongText:
      start = options.parallel ? "start: FIRST | first call (next call)* FREE\n" : "start: FIRST | first call\n";
      rules += kFreeText;
      break;
    case CallsAre::kOrDocument:
      start = fmt::format("start: \"<tool_call>\" call {} | document\ndocument: %json {}\n", more, options.document);
      break;
  }
  return grammar::GrammarSource{grammar::GrammarKind::kLark, start + rules};
}

std::vector<grammar::NestedText> TextsInCalls(std::span<const Tool> tools) {
  std::vector<grammar::NestedText> texts;
  for (const Tool& tool : tools) {
    if (tool.text_grammar.empty()) continue;
    const json::value* properties = tool.parameters().if_contains("properties");
    QUERN_CHECK(properties != nullptr && properties->is_object() && properties->get_object().size() == 1);
    const std::string_view parameter = properties->get_object().begin()->key();
    texts.push_back({.name = tool.name,
                     .opener = fmt::format("<tool_call>\n<function={}>\n<parameter={}>\n", tool.name, parameter),
                     .closer = "\n</parameter>",
                     .lark = tool.text_grammar});
  }
  return texts;
}

}  // namespace quern::chat
