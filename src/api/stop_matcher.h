// Cuts a stream of visible text at the first stop string, holding back what could still become one. The result does not
// depend on how the text was split: the cut is made by the stop string that is complete first, the longest of those
// that end at the same byte.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern::api {

// Time per byte is linear in the number of stop strings. Not thread-safe.
class StopMatcher {
 public:
  // stops: no empty strings.
  explicit StopMatcher(std::vector<std::string> stops);

  // Text that is certainly visible now. After a match nothing more comes out.
  std::string Feed(std::string_view text);
  // What was held back, when the text ended without a match. What is fed later is a new text.
  std::string Flush();

  bool matched() const { return matched_ >= 0; }
  // The stop string that matched; empty before.
  std::string_view matched_stop() const;

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> fallback;  // Knuth-Morris-Pratt: longest proper border of each prefix
    size_t n_matched = 0;
  };

  std::vector<Pattern> patterns_;
  std::string held_;  // the longest suffix so far that is the beginning of a stop string
  int matched_ = -1;
};

}  // namespace quern::api
