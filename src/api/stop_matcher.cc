#include "api/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace quern::api {

namespace {

std::vector<size_t> Borders(std::string_view text) {
  std::vector<size_t> border(text.size() + 1, 0);
  size_t k = 0;
  for (size_t i = 1; i < text.size(); ++i) {
    while (k > 0 && text[i] != text[k]) k = border[k];
    if (text[i] == text[k]) ++k;
    border[i + 1] = k;
  }
  return border;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  patterns_.reserve(stops.size());
  for (std::string& stop : stops) {
    std::vector<size_t> fallback = Borders(stop);
    patterns_.push_back({std::move(stop), std::move(fallback), 0});
  }
}

std::string StopMatcher::Feed(std::string_view text) {
  if (matched()) return {};
  if (patterns_.empty()) return std::string(text);
  std::string seen = std::move(held_);
  held_.clear();
  const size_t n_old = seen.size();
  seen += text;
  for (size_t i = n_old; i < seen.size(); ++i) {
    size_t longest = 0;
    for (size_t p = 0; p < patterns_.size(); ++p) {
      Pattern& pattern = patterns_[p];
      size_t& k = pattern.n_matched;
      while (k > 0 && seen[i] != pattern.text[k]) k = pattern.fallback[k];
      if (seen[i] == pattern.text[k]) ++k;
      if (k == pattern.text.size() && k > longest) {
        longest = k;
        matched_ = static_cast<int>(p);
      }
    }
    if (matched()) {
      seen.resize(i + 1 - longest);
      return seen;
    }
  }
  size_t n_held = 0;
  for (const Pattern& pattern : patterns_) n_held = std::max(n_held, pattern.n_matched);
  held_ = seen.substr(seen.size() - n_held);
  seen.resize(seen.size() - n_held);
  return seen;
}

std::string StopMatcher::Flush() {
  if (matched()) return {};
  for (Pattern& pattern : patterns_) pattern.n_matched = 0;
  return std::exchange(held_, {});
}

std::string_view StopMatcher::matched_stop() const {
  return matched() ? std::string_view(patterns_[static_cast<size_t>(matched_)].text) : std::string_view();
}

}  // namespace quern::api
