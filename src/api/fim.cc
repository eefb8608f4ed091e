#include "api/fim.h"

namespace quern::api {

bool HasFimMarkers(std::string_view text) {
  return text.find(kFimPrefix) != std::string_view::npos || text.find(kFimSuffix) != std::string_view::npos ||
         text.find(kFimMiddle) != std::string_view::npos;
}

std::string BuildFim(std::string_view prefix, std::string_view suffix) {
  std::string prompt;
  prompt.reserve(kFimPrefix.size() * 3 + prefix.size() + suffix.size());
  prompt += kFimPrefix;
  prompt += prefix;
  prompt += kFimSuffix;
  prompt += suffix;
  prompt += kFimMiddle;
  return prompt;
}

std::string CompleteFim(std::string prompt) {
  const bool open = prompt.find(kFimPrefix) != std::string::npos && prompt.find(kFimSuffix) != std::string::npos &&
                    prompt.find(kFimMiddle) == std::string::npos;
  if (open) prompt += kFimMiddle;
  return prompt;
}

}  // namespace quern::api
