// Where the value of a parameter ends. Values are raw text that may contain anything, closing tags included, so a tag
// ends a value only in company: what must follow is part of the rule.
#pragma once

#include <functional>
#include <string_view>

#include "chat/tag_match.h"

namespace quern::chat {

struct ValueRules {
  // Names that end a value whose own closing tag is missing.
  std::function<bool(std::string_view)> is_next_parameter;  // declared for this function and not given yet
  std::function<bool(std::string_view)> is_tool;
  // The value began on the line of its opening tag, so its closing tag need not stand on a line of its own.
  bool is_inline = false;
};

// Whether the '<' at text[at] ends the value. on_own_line: a line break is before it. resume: the place from which
// parsing goes on (behind a </parameter>, at any other tag).
//   </parameter>  and then <parameter=, </function>, </tool_call>, a new call, or the end; doubled ones count as one
//   </function>   and then </tool_call>, a new call, or the end
//   </tool_call>  on its own line, or and then a new call or the end
//   <parameter=   on its own line with a name that is_next_parameter
//   <tool_call>   on its own line and then <function= with a name that is_tool
Match MatchValueEnd(const Window& window, size_t at, bool on_own_line, const ValueRules& rules, size_t& resume);

}  // namespace quern::chat
