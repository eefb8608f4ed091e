// The turns of `quern chat` and the model that answers them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "chat/chat_format.h"
#include "chat/message.h"
#include "cli/generate.h"
#include "cli/settings.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace quern::cli {

// One thread.
class Conversation {
 public:
  Conversation(std::shared_ptr<engine::Backend> backend, std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
               std::shared_ptr<const chat::ChatFormat> format, const Settings& settings);

  void SetSystem(std::string text);  // forgets the turns
  void Reset();                      // forgets the turns, keeps the system message
  void AddUser(std::string text);
  // Takes back the last answer; false when the conversation has no user's turn.
  bool DropAnswer();

  // Answers the last user's turn; what was said, stopped or not, joins the turns. When nothing came at all, the user's
  // turn is taken back. Errors: kInvalidArgument (the conversation no longer fits; says what to do), the engine's.
  Result<GenerateOutcome> Answer(const std::function<void(std::string_view)>& on_text);

  // Tokens of the prompt as it stands.
  Result<size_t> CountTokens() const;
  int context_length() const { return backend_->info().context_length; }
  const std::vector<chat::Message>& messages() const { return messages_; }

 private:
  Result<std::vector<engine::TokenId>> Prompt() const;

  const std::shared_ptr<engine::Backend> backend_;
  const std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  const std::shared_ptr<const chat::ChatFormat> format_;
  const Settings settings_;
  const std::vector<engine::TokenId> stops_;
  std::vector<chat::Message> messages_;
};

}  // namespace quern::cli
