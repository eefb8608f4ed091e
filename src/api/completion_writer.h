// Events out: what a dialect makes of a text completion. AnswerCompletion (completion_answer.h) runs the generations
// and calls a writer; a writer only writes. The calls come as those of ChatWriter (chat_writer.h) do.
#pragma once

#include <span>
#include <string>

#include "api/answer.h"
#include "api/completion_choice.h"
#include "api/openai_completions.h"

namespace quern::api {

struct CompletionTurn {
  const CompletionRequest& request;
  const ServedModel& model;
};

struct CompletionEnd {
  std::string finish_reason;  // stop, length
  std::string stop_match;     // the client's stop string that ended it; empty = another reason
};

// A finished choice of an answer that was not streamed.
struct WholeCompletion {
  CompletionDelta all;
  CompletionEnd end;
};

// One per answer, used on its strand only. number: prompt-major, prompt * n + choice.
class CompletionWriter {
 public:
  virtual ~CompletionWriter() = default;

  virtual void Attach(Exchange& exchange, const CompletionTurn& turn) = 0;

  // Opens the stream and writes the first frames.
  virtual void Begin() = 0;
  // so_far (here and below): of this choice and its prompt alone.
  virtual void Delta(size_t number, const CompletionDelta& delta, const Usage& so_far) = 0;
  // Something that a client's idle timer counts: of a choice that has not ended.
  virtual void KeepAlive(size_t number, const Usage& so_far) = 0;
  virtual void EndChoice(size_t number, const CompletionEnd& end, const Usage& so_far) = 0;
  virtual void End(const Usage& usage) = 0;
  virtual void Fail(const ApiError& error) = 0;

  // The whole answer's JSON body; choices by number.
  virtual std::string Whole(std::span<const WholeCompletion> choices, const Usage& usage) = 0;
};

}  // namespace quern::api
