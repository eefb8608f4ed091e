#include "api/chat_prompt.h"

namespace quern::api {

ApiResult<ChatPrompt> BuildChatPrompt(const ChatRequest& request, const ServedModel& model, bool needs_room) {
  size_t n_bytes = 0;
  for (const chat::Message& message : request.messages) n_bytes += message.content.size();
  if (needs_room) QUERN_API_TRY(CheckTextFits(model, n_bytes, "messages"));
  chat::RenderOptions options;
  options.add_generation_prompt = request.add_generation_prompt;
  options.continue_final_message = request.continue_final_message;
  options.extra = request.template_kwargs;
  Result<chat::RenderedPrompt> rendered = model.chat_format->Render(request.messages, request.tools, options);
  if (!rendered) {
    ApiError error = FromStatus(rendered.error());
    // Only the request decides whether a template fails or runs out of its budget: the client's to mend.
    error.http_status = 400;
    error.type = "invalid_request_error";
    error.code = "invalid_value";
    error.retry_after_s = 0;
    error.param = "messages";
    return Fail(std::move(error));
  }
  ChatPrompt prompt;
  if (request.continue_final_message && !request.tools.empty()) {
    const std::string& text = request.messages.back().content;
    if (text.find("<tool_call>") != std::string::npos || text.find("<function=") != std::string::npos) {
      prompt.turn_prefix = text;
    }
  }
  tokenizer::EncodeOptions encode;
  encode.literal = rendered->literal;
  prompt.tokens = model.tokenizer->Encode(rendered->text, encode);
  if (prompt.tokens.empty()) {
    return Fail(BadField("messages", "The messages resulted in an empty prompt.", "invalid_value"));
  }
  if (needs_room) QUERN_API_TRY(CheckPromptFits(model, prompt.tokens.size(), true, "messages"));
  prompt.text = std::move(rendered->text);
  return prompt;
}

}  // namespace quern::api
