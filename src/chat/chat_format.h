// Messages and tools -> prompt text, by the checkpoint's own Jinja template.
#pragma once

#include <boost/json/object.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "chat/message.h"
#include "tokenizer/tokenizer.h"

namespace quern::chat {

struct RenderOptions {
  bool add_generation_prompt = true;
  // The last message is an unfinished assistant turn that the model goes on with: its text ends the prompt.
  bool continue_final_message = false;
  boost::json::object extra;  // chat_template_kwargs: further template variables
};

// Prompt text, and the byte ranges in it that came from people and must not act as control tokens.
struct RenderedPrompt {
  std::string text;
  std::vector<tokenizer::ByteRange> literal;  // sorted, disjoint: occurrences of control tokens inside content
};

// How the model writes tool calls.
enum class ToolCallSyntax { kQwen3CoderXml, kHermesJson };

// Immutable and thread-safe. One per loaded checkpoint.
class ChatFormat {
 public:
  // template_source: the checkpoint's Jinja text, or empty for the built-in Qwen3-Coder rules. Errors: kCorrupt (the
  // template does not parse; message has its line).
  static Result<std::shared_ptr<const ChatFormat>> Create(std::string_view template_source);
  virtual ~ChatFormat() = default;

  // Errors: kInvalidArgument (the template refused or failed on these messages; message has the template's line),
  // kExhausted (step, recursion or size limit; named).
  virtual Result<RenderedPrompt> Render(std::span<const Message> messages, std::span<const Tool> tools,
                                        const RenderOptions& options) const = 0;

  virtual ToolCallSyntax tool_call_syntax() const = 0;
  virtual std::string_view template_source() const = 0;
};

}  // namespace quern::chat
