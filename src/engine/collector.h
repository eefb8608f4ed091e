// Test double: an EventSink that keeps everything and can be waited for.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/engine.h"

namespace quern::engine {

class Collector {
 public:
  EventSink Sink() {
    return [this](const Event& event) { Take(event); };
  }

  // False when the generation is not over within the time.
  bool WaitFinished(std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return finished_.has_value(); });
  }
  bool WaitTokens(size_t n, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return tokens_.size() >= n || finished_.has_value(); }) &&
           tokens_.size() >= n;
  }

  std::vector<TokenId> ids() const {
    std::lock_guard lock(mutex_);
    std::vector<TokenId> ids;
    for (const auto& token : tokens_) ids.push_back(token.token);
    return ids;
  }
  std::vector<TokenEvent> tokens() const { return Locked(tokens_); }
  std::vector<PromptProgressEvent> progress() const { return Locked(progress_); }
  std::optional<PromptLogprobsEvent> prompt_logprobs() const { return Locked(prompt_logprobs_); }
  std::optional<FinishedEvent> finished() const { return Locked(finished_); }
  int n_events() const { return Locked(n_events_); }
  // Events after the last one, or numbers out of order: must stay 0.
  int n_wrong() const { return Locked(n_wrong_); }

 private:
  template <typename T>
  T Locked(const T& value) const {
    std::lock_guard lock(mutex_);
    return value;
  }
  void Take(const Event& event) {
    std::lock_guard lock(mutex_);
    ++n_events_;
    if (finished_) ++n_wrong_;
    if (const auto* token = std::get_if<TokenEvent>(&event)) {
      tokens_.push_back(*token);
      if (token->n_generated != static_cast<int>(tokens_.size())) ++n_wrong_;
    } else if (const auto* progress = std::get_if<PromptProgressEvent>(&event)) {
      progress_.push_back(*progress);
      if (!tokens_.empty()) ++n_wrong_;
    } else if (const auto* logprobs = std::get_if<PromptLogprobsEvent>(&event)) {
      if (prompt_logprobs_ || !tokens_.empty()) ++n_wrong_;
      prompt_logprobs_ = *logprobs;
    } else {
      finished_ = std::get<FinishedEvent>(event);
      if (finished_->n_generated != static_cast<int>(tokens_.size())) ++n_wrong_;
    }
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<TokenEvent> tokens_;
  std::vector<PromptProgressEvent> progress_;
  std::optional<PromptLogprobsEvent> prompt_logprobs_;
  std::optional<FinishedEvent> finished_;
  int n_events_ = 0;
  int n_wrong_ = 0;
};

}  // namespace quern::engine
