// Keywords of a JSON schema about strings, for raw text.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace quern::chat {

// Whether text can stand as a raw value in a call: it holds nothing that would end it.
bool IsPlainText(std::string_view text);

// pattern, minLength and maxLength of schema as a conjunction of Lark terminals, or "" when it has none. strict: other
// keywords about strings are errors, else they are left out. Errors: kUnsupported (parameter and keyword named).
Result<std::string> TextPattern(const boost::json::object& schema, bool strict, std::string_view parameter);

}  // namespace quern::chat
