#include "api/completion_choice.h"

#include <algorithm>
#include <iterator>

namespace quern::api {

CompletionChoice::CompletionChoice(const CompletionRequest& request, const CompletionPrompt& prompt,
                                   const ServedModel& model)
    : request_(request),
      prompt_(prompt),
      tokenizer_(*model.tokenizer),
      decoder_(model.tokenizer, request.fields.skip_special_tokens),
      stops_(request.fields.stops) {
  end_tokens_.insert(request.fields.stop_tokens.begin(), request.fields.stop_tokens.end());
  end_tokens_.insert(request.implicit_stops.begin(), request.implicit_stops.end());
  if (request.fields.ignore_eos) return;
  const auto& eos = model.backend->info().eos_tokens;
  end_tokens_.insert(eos.begin(), eos.end());
}

void CompletionChoice::EchoPrompt(const engine::PromptLogprobsEvent* logprobs) {
  pending_.text += prompt_.text;
  size_t n_chars = 0;
  for (size_t i = 0; logprobs != nullptr && !prompt_.placeholder && i < prompt_.tokens.size(); ++i) {
    LegacyLogprob entry;
    entry.token = prompt_.tokens[i];
    entry.first = i == 0;
    if (i > 0 && i < logprobs->chosen.size()) {
      entry.logprob = logprobs->chosen[i].logprob;
      entry.top = logprobs->top[i];
    }
    const std::string_view bytes = tokenizer_.TokenBytes(entry.token);
    entry.text_offset = CharacterAt(bytes, n_chars);
    n_chars += CountCharacters(bytes);
    pending_.logprobs.push_back(std::move(entry));
  }
  n_shown_chars_ = CountCharacters(prompt_.text);
  n_read_chars_ = n_shown_chars_;
}

void CompletionChoice::Show(std::string_view text) {
  n_shown_chars_ += CountCharacters(text);
  pending_.text += text;
  size_t n_moved = 0;
  while (n_moved < unshown_.size() && unshown_[n_moved].text_offset < n_shown_chars_) {
    pending_.logprobs.push_back(std::move(unshown_[n_moved++]));
  }
  unshown_.erase(unshown_.begin(), unshown_.begin() + static_cast<std::ptrdiff_t>(n_moved));
}

bool CompletionChoice::Push(const engine::TokenEvent& event) {
  n_generated_ = event.n_generated;
  sum_logprob_ += event.logprob;
  if (request_.fields.return_token_ids) pending_.token_ids.push_back(event.token);
  if (end_tokens_.contains(event.token)) return false;  // Finish follows
  if (request_.logprobs >= 0) {
    const bool silent = request_.fields.skip_special_tokens && tokenizer_.IsSpecial(event.token);
    const std::string_view bytes = silent ? std::string_view() : tokenizer_.TokenBytes(event.token);
    unshown_.push_back({event.token, false, event.logprob, event.top, CharacterAt(bytes, n_read_chars_)});
    n_read_chars_ += CountCharacters(bytes);
  }
  Show(stops_.Feed(decoder_.Push(event.token)));
  if (!stops_.matched()) return false;
  finish_reason_ = "stop";
  return true;
}

void CompletionChoice::Finish(const engine::FinishedEvent& event) {
  if (!finish_reason_.empty()) return;
  n_generated_ = event.n_generated;
  const bool by_length = event.reason == engine::FinishReason::kLength;
  Show(stops_.Feed(decoder_.Flush()));
  const bool matched = stops_.matched();
  Show(stops_.Flush());
  if (!matched) {
    // All text is out, so what is left are tokens without text of their own.
    std::move(unshown_.begin(), unshown_.end(), std::back_inserter(pending_.logprobs));
    unshown_.clear();
  }
  finish_reason_ = by_length && !matched ? "length" : "stop";
}

CompletionDelta CompletionChoice::Take() { return std::exchange(pending_, {}); }

}  // namespace quern::api
