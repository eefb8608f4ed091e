// The grammar of tool calls: what a model may write when a call is forced, or when declared functions are strict.
// Everything that the grammar lets through, ToolCallParser reads as the call that was meant.
//
// Arguments come in the order of the schema. In the XML form a string is raw text; it cannot hold what would end it:
// </parameter>, </function>, </tool_call>, and <parameter= or <tool_call> at the beginning of a line; with a pattern or
// a length no '<' at all.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "chat/chat_format.h"
#include "chat/message.h"
#include "grammar/grammar_compiler.h"
#include "grammar/nested_text.h"

namespace quern::chat {

enum class CallsAre {
  kForced,      // nothing but calls, at least one
  kAmongText,   // text, and calls wherever their opener appears
  kOrDocument,  // calls, or one JSON document instead
};

struct CallGrammarOptions {
  ToolCallSyntax syntax = ToolCallSyntax::kQwen3CoderXml;
  std::span<const Tool> tools;  // those that may be called; not empty
  CallsAre calls_are = CallsAre::kForced;
  bool parallel = true;  // more than one call
  std::string document;  // for kOrDocument: the schema's text, as grammar::EnforcedSchema makes it
  // Functions that are not strict: false enforces as much of their schemas as the schemas allow, true only names and
  // types. With false the grammar may turn out not to compile; with true only a strict function can be the reason.
  bool loose = false;
};

// Errors: kUnsupported (a strict function's schema asks for what cannot be enforced: function, parameter and keyword
// are named; a text_grammar where calls are JSON), kInvalidArgument (it is no schema).
Result<grammar::GrammarSource> CallGrammar(const CallGrammarOptions& options);

// The texts of the functions that have a text_grammar, as they stand in texts of CallGrammar, which lets any text
// through there; grammar::CompileNested holds them to their grammars.
std::vector<grammar::NestedText> TextsInCalls(std::span<const Tool> tools);

}  // namespace quern::chat
