// The Qwen3-Coder rules for checkpoints that come without a template: models/demo/chat_template.jinja, put into the
// library at build time so that rules and file cannot differ.
#pragma once

#include <string_view>

namespace quern::chat {

std::string_view BuiltinTemplate();

}  // namespace quern::chat
