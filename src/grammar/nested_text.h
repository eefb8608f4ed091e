// Texts of one grammar in which what stands between two marks fits another grammar: a call whose argument has a form
// of its own.
//
// One grammar of both cannot say this: the lexer below takes the longest match, so a text that may go on with the first
// bytes of the mark that ends it would take them, and never come to its end. Here the two are followed side by side,
// and at every place where the mark may begin both ways are kept open until one of them is.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "grammar/grammar.h"
#include "grammar/grammar_compiler.h"

namespace quern::grammar {

struct NestedText {
  std::string name;  // for errors
  // What stands before the text. In texts of the outer grammar it stands nowhere else.
  std::string opener;
  // What stands behind it: where it first appears, the outer grammar takes the text to be over. Its first byte comes in
  // it once.
  std::string closer;
  std::string lark;  // of the text
};

// Of one CompileNested; each takes up to twice compile_fuel.
inline constexpr size_t kMaxNestedTexts = 16;

// Every text that the result lets through is one of outer's, and each stretch from an opener to the next closer fits
// its lark. A nested text begins with a token of its own, so that no token stands over an opener's end; its end may
// stand anywhere in a token. Where the two grammars have nothing in common the generation ends with an error. Outside
// of nested texts a mask costs what outer's costs; inside, three. Errors: as GrammarCompiler::Compile, with the text's
// name where a lark is the reason; kExhausted (kMaxNestedTexts); kUnsupported (a vocabulary without a token for each
// byte).
Result<std::shared_ptr<const Grammar>> CompileNested(GrammarCompiler& compiler, const GrammarSource& outer,
                                                     std::span<const NestedText> texts);

}  // namespace quern::grammar
