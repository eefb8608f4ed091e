// The text of one parameter -> a JSON value of the types its schema allows.
#pragma once

#include <string>
#include <string_view>

#include "chat/value_types.h"

namespace quern::chat {

// JSON text of the value; always valid, never fails: text that is no value of the allowed types becomes a string.
//   - only strings allowed: the text as it is, whatever it looks like;
//   - strings among others: another reading only when the whole text is exactly such a value;
//   - otherwise null, integer, number, boolean, object, array in this order, read leniently.
// text: valid UTF-8.
std::string ReadValue(std::string_view text, ValueTypes types);

}  // namespace quern::chat
