// One choice of a chat answer: tokens in, visible text and tool calls out.
// tokens -> whole characters -> tool-call parser -> stop strings. No JSON here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "api/chat_request.h"
#include "api/stop_matcher.h"
#include "chat/tool_call_parser.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace quern::api {

// A piece of a tool call for a stream. begin: id and name are set and arguments is what follows at once.
struct ToolDelta {
  int index = 0;
  bool begin = false;
  std::string id;
  std::string name;
  std::string arguments;
};

// What came since the last Take.
struct ChatDelta {
  std::string content;
  std::vector<ToolDelta> tools;
  std::vector<engine::TokenEvent> logprobs;
  std::vector<engine::TokenId> token_ids;
  bool empty() const { return content.empty() && tools.empty() && logprobs.empty() && token_ids.empty(); }
};

// Strand only. request and model must outlive it.
class ChatChoice {
 public:
  // prefix: text that is already part of the turn (a forced call opener, or a partial message); it is parsed, but its
  // visible text is not delivered again.
  ChatChoice(const ChatRequest& request, const ServedModel& model, std::string_view prefix);

  // True when the choice is complete by itself: a stop string, or the one call that was wanted. The generation should
  // be cancelled then.
  bool Push(const engine::TokenEvent& event);

  // The generation is over, by itself or because it was cancelled after Push said so.
  void Finish(const engine::FinishedEvent& event);

  ChatDelta Take() { return std::exchange(pending_, {}); }
  bool has_pending() const { return !pending_.empty(); }

  // Set by Push or Finish: stop, length, tool_calls, function_call.
  const std::string& finish_reason() const { return finish_reason_; }
  // The client's stop string that ended the text; empty = none did.
  std::string_view matched_stop() const { return stops_.matched_stop(); }
  int n_generated() const { return n_generated_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  bool Consume(std::string_view text);
  bool Handle(std::vector<chat::ParseEvent>& events);
  void AddContent(std::string_view text);
  void AddLogprob(const engine::TokenEvent& event);
  void Show(const std::string& text);
  ToolDelta& OpenDelta(int index);

  const ChatRequest& request_;
  const tokenizer::Tokenizer& tokenizer_;
  bool want_logprobs_;
  std::unordered_set<engine::TokenId> end_tokens_;
  tokenizer::StreamDecoder decoder_;
  std::unique_ptr<chat::ToolCallParser> parser_;
  StopMatcher stops_;
  ChatDelta pending_;
  // Tokens whose text is held back, each with the character of all generated text in which it begins.
  std::vector<std::pair<size_t, engine::TokenEvent>> unshown_logprobs_;
  size_t n_read_chars_ = 0;   // of all tokens so far
  size_t n_shown_chars_ = 0;  // delivered as content
  std::string after_calls_;   // text behind the first call: dropped, unless something could not be read as a call
  size_t n_skip_bytes_ = 0;   // visible bytes of the prefix that the parser still holds
  bool in_prefix_ = false;
  bool any_incomplete_ = false;
  int n_calls_ = 0;
  int n_generated_ = 0;
  std::vector<std::string> warnings_;
  std::string finish_reason_;
};

}  // namespace quern::api
