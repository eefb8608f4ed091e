#include "engine/request_check.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace quern::engine {
namespace {

constexpr int kMaxLogprobs = 20;

std::unexpected<Status> Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

// NaN fails every comparison, so ranges are asked for positively.
Result<void> CheckSampling(const SamplingParams& s, const BackendInfo& info, const EngineLimits& limits) {
  if (!(s.temperature >= 0 && s.temperature <= 1e6F))
    return Bad(fmt::format("temperature is {}, must be 0 or more", s.temperature));
  if (s.top_k < 0) return Bad(fmt::format("top_k is {}, must be 0 (off) or more", s.top_k));
  if (!(s.top_p > 0 && s.top_p <= 1)) return Bad(fmt::format("top_p is {}, must be above 0 and at most 1", s.top_p));
  if (!(s.min_p >= 0 && s.min_p <= 1)) return Bad(fmt::format("min_p is {}, must be between 0 and 1", s.min_p));
  if (!(s.repetition_penalty > 0 && s.repetition_penalty <= 1e6F))
    return Bad(fmt::format("repetition_penalty is {}, must be above 0", s.repetition_penalty));
  if (!(std::abs(s.presence_penalty) <= 100))
    return Bad(fmt::format("presence_penalty is {}, must be between -100 and 100", s.presence_penalty));
  if (!(std::abs(s.frequency_penalty) <= 100))
    return Bad(fmt::format("frequency_penalty is {}, must be between -100 and 100", s.frequency_penalty));
  if (s.logit_bias.size() > static_cast<size_t>(std::max(0, limits.max_logit_bias)))
    return Bad(
        fmt::format("logit_bias has {} entries, at most {} are allowed", s.logit_bias.size(), limits.max_logit_bias));
  for (const auto& [id, bias] : s.logit_bias) {
    if (id < 0 || id >= info.vocab_size)
      return Bad(fmt::format("logit_bias names token {}, ids go from 0 to {}", id, info.vocab_size - 1));
    if (!(std::abs(bias) <= 1e6F))
      return Bad(fmt::format("logit_bias of token {} is {}, must be a number between -1e6 and 1e6", id, bias));
  }
  return {};
}

Result<void> CheckPrompt(const GenerateRequest& request, const BackendInfo& info) {
  if (request.prompt.empty()) return Bad("the prompt is empty");
  const size_t n_prompt = request.prompt.size();
  const size_t n_ctx = static_cast<size_t>(info.context_length);
  // A token that is to be sampled needs a place too.
  const size_t n_needed = n_prompt + (request.max_tokens > 0 ? 1 : 0);
  if (n_needed > n_ctx)
    return Bad(
        fmt::format("the prompt has {} tokens, this model's context holds {}: {} too many (n_prompt={}, "
                    "n_ctx={}, n_over={})",
                    n_prompt, n_ctx, n_needed - n_ctx, n_prompt, n_ctx, n_needed - n_ctx));
  for (size_t i = 0; i < n_prompt; ++i) {
    if (request.prompt[i] < 0 || request.prompt[i] >= info.vocab_size)
      return Bad(fmt::format("prompt[{}] is token {}, ids go from 0 to {}", i, request.prompt[i], info.vocab_size - 1));
  }
  return {};
}

}  // namespace

Result<void> CheckRequest(const GenerateRequest& request, const BackendInfo& info, const EngineLimits& limits) {
  if (request.max_tokens < 0) return Bad(fmt::format("max_tokens is {}, must be 0 or more", request.max_tokens));
  if (request.min_tokens < 0) return Bad(fmt::format("min_tokens is {}, must be 0 or more", request.min_tokens));
  if (request.n_logprobs < -1 || request.n_logprobs > kMaxLogprobs)
    return Bad(fmt::format("n_logprobs is {}, must be between -1 and {}", request.n_logprobs, kMaxLogprobs));
  if (request.prompt_logprobs && request.n_logprobs < 0) return Bad("prompt_logprobs needs n_logprobs of 0 or more");
  if (request.time_limit.count() < 0)
    return Bad(fmt::format("time_limit is {} ms, must be 0 (default) or more", request.time_limit.count()));
  if (request.stop_tokens.size() > static_cast<size_t>(std::max(0, limits.max_stop_tokens)))
    return Bad(fmt::format("{} stop tokens are given, at most {} are allowed", request.stop_tokens.size(),
                           limits.max_stop_tokens));
  for (TokenId id : request.stop_tokens) {
    if (id < 0 || id >= info.vocab_size)
      return Bad(fmt::format("stop token {} does not exist, ids go from 0 to {}", id, info.vocab_size - 1));
  }
  if (request.grammar && request.stop_tokens.empty()) return Bad("a grammar needs a stop token that ends its text");
  QUERN_TRY(CheckSampling(request.sampling, info, limits));
  return CheckPrompt(request, info);
}

int MaxNewTokens(const GenerateRequest& request, const BackendInfo& info) {
  return std::min(request.max_tokens, info.context_length - static_cast<int>(request.prompt.size()));
}

std::chrono::steady_clock::time_point DeadlineOf(const GenerateRequest& request, const EngineLimits& limits) {
  if (request.priority == Priority::kBackground) {
    return request.time_limit.count() > 0 ? std::chrono::steady_clock::now() + request.time_limit
                                          : std::chrono::steady_clock::time_point::max();
  }
  const auto asked = request.time_limit.count() > 0 ? request.time_limit : limits.max_time;
  return std::chrono::steady_clock::now() + std::min(asked, limits.max_time);
}

}  // namespace quern::engine
