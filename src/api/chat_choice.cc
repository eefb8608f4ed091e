#include "api/chat_choice.h"

#include <algorithm>

#include "api/logprobs.h"

namespace quern::api {

namespace {

chat::ToolParserOptions ParserOptions(const ChatRequest& request, const ServedModel& model) {
  chat::ToolParserOptions options;
  options.syntax = model.chat_format->tool_call_syntax();
  if (request.tool_choice != ToolChoice::kNone) options.tools = request.tools;
  return options;
}

}  // namespace

ChatChoice::ChatChoice(const ChatRequest& request, const ServedModel& model, std::string_view prefix)
    : request_(request),
      tokenizer_(*model.tokenizer),
      want_logprobs_(request.logprobs),
      decoder_(model.tokenizer, request.fields.skip_special_tokens),
      parser_(chat::ToolCallParser::Create(ParserOptions(request, model))),
      stops_(request.fields.stops) {
  end_tokens_.insert(request.fields.stop_tokens.begin(), request.fields.stop_tokens.end());
  if (!request.fields.ignore_eos) {
    const auto& eos = model.backend->info().eos_tokens;
    end_tokens_.insert(eos.begin(), eos.end());
  }
  if (prefix.empty()) return;
  n_skip_bytes_ = prefix.size();
  in_prefix_ = true;
  Consume(prefix);
  in_prefix_ = false;
  // Bytes of the prefix that became part of a call never come out as text.
  if (n_calls_ > 0) n_skip_bytes_ = 0;
}

bool ChatChoice::Push(const engine::TokenEvent& event) {
  n_generated_ = event.n_generated;
  if (request_.fields.return_token_ids) pending_.token_ids.push_back(event.token);
  if (end_tokens_.contains(event.token)) return false;  // Finish follows
  if (want_logprobs_) AddLogprob(event);
  return Consume(decoder_.Push(event.token));
}

bool ChatChoice::Consume(std::string_view text) {
  if (text.empty()) return false;
  std::vector<chat::ParseEvent> events;
  parser_->Feed(text, events);
  return Handle(events);
}

void ChatChoice::AddLogprob(const engine::TokenEvent& event) {
  const bool silent = request_.fields.skip_special_tokens && tokenizer_.IsSpecial(event.token);
  const std::string_view bytes = silent ? std::string_view() : tokenizer_.TokenBytes(event.token);
  unshown_logprobs_.emplace_back(CharacterAt(bytes, n_read_chars_), event);
  n_read_chars_ += CountCharacters(bytes);
}

void ChatChoice::Show(const std::string& text) {
  if (text.empty()) return;
  n_shown_chars_ += CountCharacters(text);
  pending_.content += text;
  // Behind a call the content is no longer all of the text, so places in it say nothing.
  size_t n_moved = 0;
  while (n_moved < unshown_logprobs_.size() && (n_calls_ > 0 || unshown_logprobs_[n_moved].first < n_shown_chars_)) {
    pending_.logprobs.push_back(std::move(unshown_logprobs_[n_moved++].second));
  }
  unshown_logprobs_.erase(unshown_logprobs_.begin(), unshown_logprobs_.begin() + static_cast<std::ptrdiff_t>(n_moved));
}

void ChatChoice::AddContent(std::string_view text) {
  const size_t n_skipped = std::min(n_skip_bytes_, text.size());
  n_skip_bytes_ -= n_skipped;
  text.remove_prefix(n_skipped);
  if (text.empty()) return;
  if (n_calls_ > 0 && warnings_.empty()) {
    after_calls_ += text;
    return;
  }
  Show(stops_.Feed(text));
}

ToolDelta& ChatChoice::OpenDelta(int index) {
  if (pending_.tools.empty() || pending_.tools.back().index != index) {
    pending_.tools.push_back({});
    pending_.tools.back().index = index;
  }
  return pending_.tools.back();
}

bool ChatChoice::Handle(std::vector<chat::ParseEvent>& events) {
  for (chat::ParseEvent& event : events) {
    if (auto* content = std::get_if<chat::ContentDelta>(&event)) {
      AddContent(content->text);
      if (stops_.matched()) {
        finish_reason_ = "stop";
        return true;
      }
    } else if (auto* begin = std::get_if<chat::ToolCallBegin>(&event)) {
      Show(stops_.Flush());  // no stop string reaches across a call
      unshown_logprobs_.clear();
      n_skip_bytes_ = 0;
      ++n_calls_;
      pending_.tools.push_back({begin->index, true, std::move(begin->id), std::move(begin->name), ""});
    } else if (auto* arguments = std::get_if<chat::ToolCallArguments>(&event)) {
      OpenDelta(arguments->index).arguments += arguments->fragment;
    } else if (auto* end = std::get_if<chat::ToolCallEnd>(&event)) {
      unshown_logprobs_.clear();
      any_incomplete_ |= !end->complete;
      if (end->complete && !request_.parallel_tool_calls && !in_prefix_) {
        finish_reason_ = request_.legacy_functions ? "function_call" : "tool_calls";
        return true;
      }
    } else if (auto* warning = std::get_if<chat::ParseWarning>(&event)) {
      warnings_.push_back(std::move(warning->what));
      AddContent(std::exchange(after_calls_, {}));
    }
  }
  return false;
}

void ChatChoice::Finish(const engine::FinishedEvent& event) {
  if (!finish_reason_.empty()) return;
  n_generated_ = event.n_generated;
  const bool by_length = event.reason == engine::FinishReason::kLength;
  if (Consume(decoder_.Flush())) return;
  std::vector<chat::ParseEvent> events;
  parser_->Finish(events);
  if (Handle(events)) return;
  Show(stops_.Flush());
  // All text is out, so what is left are tokens without text of their own; or, behind a call, text that is dropped.
  for (auto& [at, token] : unshown_logprobs_) {
    if (n_calls_ == 0) pending_.logprobs.push_back(std::move(token));
  }
  unshown_logprobs_.clear();
  // A call that was cut is reported as a length stop even when the model ended by itself: its arguments are not what
  // was meant.
  if (by_length || any_incomplete_) {
    finish_reason_ = "length";
  } else if (n_calls_ > 0) {
    finish_reason_ = request_.legacy_functions ? "function_call" : "tool_calls";
  } else {
    finish_reason_ = "stop";
  }
}

}  // namespace quern::api
