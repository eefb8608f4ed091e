// Events out: what a dialect makes of a chat answer. AnswerChat (chat_answer.h) runs the generations and calls a
// writer; a writer only writes.
//
//   stream:  Begin  (Delta | KeepAlive)*  EndChoice per choice  ...  End
//            Fail may come instead of anything after Begin, and is the last call
//   whole:   Whole
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "api/answer.h"
#include "api/chat_choice.h"
#include "api/chat_request.h"
#include "api/errors.h"
#include "api/exchange.h"
#include "api/served_model.h"

namespace quern::api {

// What is known of a turn before its first token. Outlives the writer's use of it.
struct ChatTurn {
  const ChatRequest& request;
  const ServedModel& model;
  std::vector<engine::TokenId> prompt_ids;  // only when request.fields.return_token_ids
  int n_prompt = 0;                         // tokens
};

// How a choice ended.
struct ChoiceEnd {
  std::string finish_reason;          // stop, length, tool_calls, function_call
  std::string stop_match;             // the client's stop string that ended it; empty = another reason
  std::vector<std::string> warnings;  // what could not be read as a call, for people
};

struct WholeCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text
};

// A finished choice of an answer that was not streamed.
struct WholeChoice {
  std::string content;
  std::vector<WholeCall> calls;
  std::vector<engine::TokenEvent> logprobs;
  std::vector<engine::TokenId> token_ids;
  ChoiceEnd end;
};

// One per answer, used on its strand only. Stream calls append frames to the exchange (AnswerChat flushes them).
class ChatWriter {
 public:
  virtual ~ChatWriter() = default;

  // Before anything else, streamed or not. turn stays valid until the writer is gone.
  virtual void Attach(Exchange& exchange, const ChatTurn& turn) = 0;

  // Opens the stream (Exchange::StartSse or StartStream) and writes the first frames.
  virtual void Begin() = 0;
  // delta is never empty. so_far (here and below): n_generated counts this choice's tokens alone.
  virtual void Delta(size_t choice, const ChatDelta& delta, const Usage& so_far) = 0;
  // Nothing was written for a while. choice: the first that has not ended.
  virtual void KeepAlive(size_t choice, const Usage& so_far) = 0;
  virtual void EndChoice(size_t choice, const ChoiceEnd& end, const Usage& so_far) = 0;
  // Last frames; ends the stream. usage counts all choices.
  virtual void End(const Usage& usage) = 0;
  // The error in the dialect's shape; ends the stream.
  virtual void Fail(const ApiError& error) = 0;

  // The whole answer's JSON body.
  virtual std::string Whole(std::span<const WholeChoice> choices, const Usage& usage) = 0;
};

}  // namespace quern::api
