// Pieces of grammars in llguidance's Lark, from text that may be anything.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "grammar/grammar_compiler.h"

namespace quern::grammar {

// A Lark string literal of exactly this text (valid UTF-8).
std::string LarkString(std::string_view text);

// text (valid UTF-8) as the inside of a regular expression between slashes that matches exactly it.
std::string LarkRegexText(std::string_view text);

// pattern as a Lark regular expression: slashes escaped.
std::string LarkRegex(std::string_view pattern);

// One of choices, and nothing else. Not empty.
GrammarSource ChoiceGrammar(std::span<const std::string> choices);

}  // namespace quern::grammar
