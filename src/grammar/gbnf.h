// GBNF, the grammar notation of llama.cpp ("root ::= ..."), as llguidance's Lark.
//
// Rules that refer to themselves stay rules. All that is regular between them becomes terminals, which take as much
// text as they can: a grammar in which a terminal's text could also be taken by what follows it is read more narrowly
// than llama.cpp reads it, never more widely.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace quern::grammar {

// Errors: kInvalidArgument (not GBNF, an undefined rule, no "root": the message has the line), kUnsupported (tokens in
// angle brackets), kExhausted (groups nested too deep, a repetition above 10,000,
// more than 2,000 rules).
Result<std::string> LarkOfGbnf(std::string_view gbnf);

}  // namespace quern::grammar
