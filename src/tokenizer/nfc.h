// Unicode normalisation form C, as the reference tokenizer's normaliser does it (see unicode_classes.h on kInert).
#pragma once

#include <string>
#include <string_view>

namespace quern::tokenizer {

// The text in NFC with every invalid UTF-8 byte replaced by U+FFFD. Returns text itself when it is already both,
// otherwise a view of storage, which is overwritten. Time is linear.
std::string_view ToNfc(std::string_view text, std::string& storage);

}  // namespace quern::tokenizer
