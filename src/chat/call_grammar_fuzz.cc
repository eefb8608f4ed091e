// Fuzz target: any JSON schema as a function's parameters, or any Lark as the grammar of its text. The first byte
// chooses which, the form of calls, whether the function is strict and whether calls are forced. Either the grammar is
// refused, or a walk through it, drawn from the input's own bytes, ends in calls that the parser reads whole and
// without a warning, and whose texts fit the Lark.
#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "chat/call_grammar.h"
#include "chat/tool_call_parser.h"
#include "grammar/grammar_compiler.h"
#include "tokenizer/test_vocabulary.h"

namespace {

using namespace quern::chat;
namespace grammar = quern::grammar;

constexpr int kMaxTokens = 400;
constexpr std::string_view kXmlCloser = "\n</parameter>\n</function>\n</tool_call>";
constexpr std::string_view kJsonCloser = "\"}]}}\n</tool_call>";

void Require(bool holds, const char* what, const std::string& text) {
  if (holds) return;
  std::fprintf(stderr, "call_grammar: %s: %s\n", what, text.c_str());
  std::abort();
}

std::shared_ptr<const quern::tokenizer::Tokenizer> Bytewise() {
  static const auto tokenizer = quern::tokenizer::Tokenizer::FromSpec(quern::tokenizer::TestVocabulary({})).value();
  return tokenizer;
}

class Walk {
 public:
  Walk(uint32_t seed, std::string_view closer) : state_(seed), closer_(closer) {}

  // True when the text came to its end.
  bool Run(grammar::TokenConstraint& constraint) {
    std::vector<uint32_t> mask((static_cast<size_t>(Bytewise()->vocab_size()) + 31) / 32);
    for (int n = 0; n < kMaxTokens; ++n) {
      const auto may_end = constraint.ComputeMask(mask);
      if (!may_end) return false;
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < Bytewise()->vocab_size(); ++id) {
        if ((mask[static_cast<size_t>(id) / 32] >> (static_cast<uint32_t>(id) % 32U) & 1U) != 0) allowed.push_back(id);
      }
      if (*may_end && (allowed.empty() || Draw(4) == 0)) return true;
      if (allowed.empty()) return false;
      int32_t id = n > 40 || Draw(3) == 0 ? TowardsEnd(allowed) : -1;
      if (id < 0) id = allowed[Draw(static_cast<uint32_t>(allowed.size()))];
      text += Bytewise()->TokenBytes(id);
      Require(constraint.Accept(id).has_value(), "an allowed token is refused", text);
    }
    return false;
  }

  std::string text;

 private:
  uint32_t Draw(uint32_t n) {
    state_ = state_ * 1664525 + 1013904223;
    return (state_ >> 8) % n;
  }
  int32_t TowardsEnd(const std::vector<int32_t>& allowed) const {
    for (size_t k = closer_.size(); k-- > 0;) {
      if (!text.ends_with(closer_.substr(0, k))) continue;
      for (const int32_t id : allowed) {
        if (closer_.substr(k).starts_with(Bytewise()->TokenBytes(id))) return id;
      }
    }
    return -1;
  }

  uint32_t state_;
  const std::string_view closer_;
};

// A JSON number may be beyond every double, and a grammar of JSON allows that; the parser leaves such a call as text.
bool HasHugeNumber(std::string_view text) {
  size_t n_digits = 0;  // of the exponent that is being read
  bool in_exponent = false;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      if (in_exponent && ++n_digits >= 3) return true;
      continue;
    }
    const bool sign = in_exponent && n_digits == 0 && (c == '+' || c == '-');
    in_exponent = sign || c == 'e' || c == 'E';
    n_digits = 0;
  }
  return false;
}

bool Fits(const grammar::Grammar& grammar, std::string_view text) {
  const auto constraint = grammar.Start().value();
  for (const int32_t id : Bytewise()->Encode(text)) {
    if (!constraint->Accept(id)) return false;
  }
  return constraint->ComputeMask({}).value_or(false);
}

// form: of the texts, or null.
void CheckCalls(const std::string& text, ToolCallSyntax syntax, const std::vector<Tool>& tools, bool forced,
                const grammar::Grammar* form) {
  const auto parser = ToolCallParser::Create({.syntax = syntax, .tools = tools, .id_seed = 1});
  std::vector<ParseEvent> events;
  parser->Feed(text, events);
  parser->Finish(events);
  Require(!forced || parser->n_calls() > 0, "no call", text);
  std::string arguments;
  for (const ParseEvent& event : events) {
    // Where a schema names no parameters any name may be given, and given twice.
    if (const auto* warning = std::get_if<ParseWarning>(&event))
      Require(warning->what.find("given twice") != std::string::npos, warning->what.c_str(), text);
    Require(!forced || !std::holds_alternative<ContentDelta>(event), "text beside forced calls", text);
    if (const auto* piece = std::get_if<ToolCallArguments>(&event)) arguments += piece->fragment;
    if (const auto* end = std::get_if<ToolCallEnd>(&event)) {
      Require(end->complete, "a call is cut", text);
      if (form != nullptr) {
        const auto read = quern::ParseJson(arguments);
        Require(read.has_value(), "arguments are no JSON", arguments);
        Require(Fits(*form, std::string_view(read->at("input").as_string())), "a text does not fit", text);
      }
      arguments.clear();
    }
  }
}

std::shared_ptr<grammar::GrammarCompiler> Compiler() {
  static const auto compiler = grammar::GrammarCompiler::Create(
      Bytewise(), {.compile_fuel = 100'000, .mask_fuel = 20'000, .mask_items = 10'000});
  return compiler;
}

Tool WithSchema(const boost::json::object& schema, bool strict) {
  const boost::json::object function{{"name", "f"}, {"parameters", schema}};
  return {.name = "f", .declaration = {{"type", "function"}, {"function", function}}, .strict = strict};
}

Tool WithLark(std::string_view lark) {
  Tool tool = WithSchema({{"type", "object"},
                          {"properties", {{"input", {{"type", "string"}}}}},
                          {"required", boost::json::array{"input"}}},
                         true);
  tool.text_grammar = lark;
  return tool;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 4000) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool is_lark = (data[0] & 16) != 0 && text.size() > 0;
  std::vector<Tool> tools;
  std::shared_ptr<const grammar::Grammar> form;
  if (is_lark) {
    const auto compiled = Compiler()->Compile({grammar::GrammarKind::kLark, std::string(text)});
    if (!compiled) return 0;
    form = *compiled;
    tools.push_back(WithLark(text));
  } else {
    const auto schema = quern::ParseJson(text, {.max_depth = 80, .max_values = 2000});
    if (!schema || !schema->is_object()) return 0;
    tools.push_back(WithSchema(schema->get_object(), (data[0] & 2) != 0));
  }
  CallGrammarOptions options{.tools = tools, .loose = (data[0] & 8) != 0};
  if ((data[0] & 1) != 0) options.syntax = ToolCallSyntax::kHermesJson;
  if ((data[0] & 4) != 0) options.calls_are = CallsAre::kAmongText;
  const auto source = CallGrammar(options);
  Require(source || tools[0].strict, "a function that is not strict is refused", std::string(text));
  if (!source) return 0;
  const auto compiled = grammar::CompileNested(*Compiler(), *source, TextsInCalls(tools));
  if (!compiled) {
    Require(compiled.error().code() != quern::Code::kInternal, "internal failure", compiled.error().ToString());
    return 0;
  }
  const auto constraint = (*compiled)->Start();
  Require(constraint.has_value(), "it does not start", source->text);
  uint32_t seed = static_cast<uint32_t>(size);
  for (size_t i = 0; i < size; ++i) seed = seed * 31 + data[i];
  Walk walk(seed, options.syntax == ToolCallSyntax::kHermesJson ? kJsonCloser : kXmlCloser);
  if (!walk.Run(**constraint) || HasHugeNumber(walk.text)) return 0;
  CheckCalls(walk.text, options.syntax, tools, options.calls_are == CallsAre::kForced, form.get());
  return 0;
}
