#include "cli/conversation.h"

#include <fmt/core.h>

#include <algorithm>

#include "cli/load_model.h"

namespace quern::cli {

Conversation::Conversation(std::shared_ptr<engine::Backend> backend,
                           std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                           std::shared_ptr<const chat::ChatFormat> format, const Settings& settings)
    : backend_(std::move(backend)),
      tokenizer_(std::move(tokenizer)),
      format_(std::move(format)),
      settings_(settings),
      stops_(StopTokens(backend_->info(), *tokenizer_)) {
  SetSystem(settings.system);
}

void Conversation::SetSystem(std::string text) {
  messages_.clear();
  if (text.empty()) return;
  chat::Message message;
  message.role = chat::Role::kSystem;
  message.content = std::move(text);
  messages_.push_back(std::move(message));
}

void Conversation::Reset() {
  std::erase_if(messages_, [](const chat::Message& message) { return message.role != chat::Role::kSystem; });
}

void Conversation::AddUser(std::string text) {
  chat::Message message;
  message.role = chat::Role::kUser;
  message.content = std::move(text);
  messages_.push_back(std::move(message));
}

bool Conversation::DropAnswer() {
  if (!messages_.empty() && messages_.back().role == chat::Role::kAssistant) messages_.pop_back();
  return !messages_.empty() && messages_.back().role == chat::Role::kUser;
}

Result<std::vector<engine::TokenId>> Conversation::Prompt() const {
  QUERN_ASSIGN(const chat::RenderedPrompt prompt, format_->Render(messages_, {}, {}));
  return tokenizer_->Encode(prompt.text, {.literal = prompt.literal});
}

Result<size_t> Conversation::CountTokens() const {
  QUERN_ASSIGN(const auto prompt, Prompt());
  return prompt.size();
}

Result<GenerateOutcome> Conversation::Answer(const std::function<void(std::string_view)>& on_text) {
  const auto take_back = [this](Status error) {
    if (!messages_.empty() && messages_.back().role == chat::Role::kUser) messages_.pop_back();
    return std::unexpected(std::move(error));
  };
  auto prompt = Prompt();
  if (!prompt) return take_back(prompt.error());
  const int room = context_length() - static_cast<int>(std::min<size_t>(prompt->size(), 1U << 30));
  if (room <= 0)
    return take_back(Status(Code::kInvalidArgument,
                            fmt::format("the conversation has {} tokens, the context holds {}; /reset begins a new one",
                                        prompt->size(), context_length())));
  engine::GenerateRequest request;
  request.prompt = std::move(*prompt);
  request.max_tokens = std::min(settings_.max_tokens.value_or(room), room);
  request.sampling = SamplingOf(settings_, backend_->info().defaults);
  request.stop_tokens = stops_;
  chat::Message answer;
  answer.role = chat::Role::kAssistant;
  const auto keep = [&](std::string_view piece) {
    answer.content += piece;
    on_text(piece);
  };
  auto outcome = Generate(*backend_, tokenizer_, request, keep);
  if (!outcome && answer.content.empty()) return take_back(outcome.error());
  messages_.push_back(std::move(answer));
  return outcome;
}

}  // namespace quern::cli
