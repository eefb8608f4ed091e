// One choice of a completions answer: tokens in, text and legacy log-probabilities out. No JSON here.
#pragma once

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "api/logprobs.h"
#include "api/openai_completions.h"
#include "api/stop_matcher.h"
#include "tokenizer/tokenizer.h"

namespace quern::api {

struct CompletionDelta {
  std::string text;
  std::vector<LegacyLogprob> logprobs;
  std::vector<engine::TokenId> token_ids;
  bool empty() const { return text.empty() && logprobs.empty() && token_ids.empty(); }
};

// Strand only. request, prompt and model must outlive it.
class CompletionChoice {
 public:
  CompletionChoice(const CompletionRequest& request, const CompletionPrompt& prompt, const ServedModel& model);

  // echo: the prompt's text comes first, with its log-probabilities when they were asked for.
  void EchoPrompt(const engine::PromptLogprobsEvent* logprobs);
  // True when a stop string ended the choice; the generation should be cancelled then.
  bool Push(const engine::TokenEvent& event);
  void Finish(const engine::FinishedEvent& event);

  CompletionDelta Take();
  bool has_pending() const { return !pending_.empty(); }
  const std::string& finish_reason() const { return finish_reason_; }
  // The client's stop string that ended the text; empty = none did.
  std::string_view matched_stop() const { return stops_.matched_stop(); }
  int n_generated() const { return n_generated_; }
  // Mean log-probability of the generated tokens, for best_of.
  double mean_logprob() const { return n_generated_ == 0 ? 0 : sum_logprob_ / n_generated_; }

 private:
  void Show(std::string_view text);

  const CompletionRequest& request_;
  const CompletionPrompt& prompt_;
  const tokenizer::Tokenizer& tokenizer_;
  std::unordered_set<engine::TokenId> end_tokens_;
  tokenizer::StreamDecoder decoder_;
  StopMatcher stops_;
  CompletionDelta pending_;
  std::vector<LegacyLogprob> unshown_;  // of tokens whose text is not visible yet
  size_t n_shown_chars_ = 0;            // characters delivered
  size_t n_read_chars_ = 0;             // characters of all tokens so far: where the next token begins
  int n_generated_ = 0;
  double sum_logprob_ = 0;
  std::string finish_reason_;
};

}  // namespace quern::api
