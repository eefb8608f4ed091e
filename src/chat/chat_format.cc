#include "chat/chat_format.h"

#include <fmt/core.h>

#include "chat/builtin_template.h"
#include "chat/jinja_template.h"
#include "chat/literal_guard.h"
#include "chat/template_variables.h"

namespace quern::chat {
namespace {

ToolCallSyntax SyntaxOf(std::string_view source) {
  const bool xml = source.find("<function=") != std::string_view::npos;
  const bool hermes = source.find("<tool_call>") != std::string_view::npos;
  return hermes && !xml ? ToolCallSyntax::kHermesJson : ToolCallSyntax::kQwen3CoderXml;
}

class TemplateFormat final : public ChatFormat {
 public:
  TemplateFormat(std::string source, std::unique_ptr<const JinjaTemplate> compiled)
      : source_(std::move(source)), compiled_(std::move(compiled)), syntax_(SyntaxOf(source_)) {}

  Result<RenderedPrompt> Render(std::span<const Message> messages, std::span<const Tool> tools,
                                const RenderOptions& options) const override;

  ToolCallSyntax tool_call_syntax() const override { return syntax_; }
  std::string_view template_source() const override { return source_; }

 private:
  std::string source_;
  std::unique_ptr<const JinjaTemplate> compiled_;
  ToolCallSyntax syntax_;
};

Result<void> CheckContinued(std::span<const Message> messages) {
  if (messages.empty() || messages.back().role != Role::kAssistant) {
    return Error(Code::kInvalidArgument, "only a last message of the assistant can be continued");
  }
  if (!messages.back().tool_calls.empty()) {
    return Error(Code::kInvalidArgument, "an assistant message with tool calls cannot be continued");
  }
  return {};
}

Result<RenderedPrompt> TemplateFormat::Render(std::span<const Message> messages, std::span<const Tool> tools,
                                              const RenderOptions& options) const {
  if (options.continue_final_message) QUERN_TRY(CheckContinued(messages));
  VariableOptions variable_options{
      .add_generation_prompt = options.add_generation_prompt && !options.continue_final_message,
      .extra = &options.extra};
  QUERN_ASSIGN(Variables variables, WriteVariables(messages, tools, variable_options));
  if (!variables.needs_guard && !options.continue_final_message) {
    QUERN_ASSIGN(std::string text, compiled_->Render(variables.json));
    return RenderedPrompt{.text = std::move(text)};
  }

  QUERN_ASSIGN(const std::vector<std::string> unused, UnusedCharacters(2, variables.json, source_));
  variable_options.stand_in = unused[0];
  if (options.continue_final_message) variable_options.end_mark = unused[1];
  QUERN_ASSIGN(variables, WriteVariables(messages, tools, variable_options));
  QUERN_ASSIGN(std::string text, compiled_->Render(variables.json));
  if (options.continue_final_message) {
    const size_t end = text.rfind(unused[1]);
    if (end == std::string::npos) {
      return Error(Code::kInvalidArgument, "the chat template drops the message that should be continued");
    }
    text.resize(end);
  }
  RenderedPrompt prompt;
  prompt.literal = RestoreGuarded(text, unused[0]);
  prompt.text = std::move(text);
  return prompt;
}

}  // namespace

Result<std::shared_ptr<const ChatFormat>> ChatFormat::Create(std::string_view template_source) {
  const std::string_view source = template_source.empty() ? BuiltinTemplate() : template_source;
  QUERN_ASSIGN(auto compiled, JinjaTemplate::Create(source));
  return std::make_shared<const TemplateFormat>(std::string(source), std::move(compiled));
}

}  // namespace quern::chat
