// Keeps text that people wrote from acting as control tokens once a template has placed it in a prompt.
//
// Every control token is spelled <|name|>. Before rendering, each '|' of a string from outside that could become part
// of such a spelling (beside '<' or '>', or at an end of the string, where the template may supply the bracket) is
// replaced by a stand-in: one printable character that occurs neither in the variables nor in the template. It counts
// as one character, is no blank and is escaped by nothing, so templates measure and trim the string as before. After
// rendering, the stand-ins become '|' again and their places are the literal ranges: a control token that overlaps one
// did not come whole from the template.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace quern::chat {

// A tokenizer's control tokens that users may write themselves: fill-in-the-middle and repository marks in user
// messages.
enum class FimTokens { kAct, kAreText };

// Whether any '|' of text needs a stand-in.
bool NeedsGuard(std::string_view text, FimTokens fim);

// Appends text with stand_in (UTF-8 of one character) in the places described above.
void AppendGuarded(std::string& out, std::string_view text, FimTokens fim, std::string_view stand_in);

// n different characters that neither text contains. Errors: kExhausted (the texts use nearly all of 42,711 rare
// characters).
Result<std::vector<std::string>> UnusedCharacters(size_t n, std::string_view a, std::string_view b);

// Turns every stand_in in text back into '|'; the result's ranges are those bytes, sorted, neighbours joined.
std::vector<tokenizer::ByteRange> RestoreGuarded(std::string& text, std::string_view stand_in);

}  // namespace quern::chat
