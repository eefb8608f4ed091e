// A function's parameters in the XML form of calls, as rules of llguidance's Lark.
#pragma once

#include <string>

#include "base/status.h"
#include "chat/message.h"

namespace quern::chat {

// Terminals and rules that ArgumentGrammar's rules refer to; once per grammar.
extern const char* const kArgumentRules;

// Rule `name`: all of <parameter=K>...</parameter> and a line break for each, required ones present, in the order of
// the schema; and the rules that it needs, whose names begin with `name`. loose: of a function that is not strict only
// the parameters' names and types. Errors: kUnsupported (parameter and keyword named), kInvalidArgument.
Result<std::string> ArgumentGrammar(const std::string& name, const Tool& tool, bool loose);

}  // namespace quern::chat
