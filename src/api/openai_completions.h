// OpenAI Completions (legacy), the JSON-in half, with every fill-in-the-middle form of api.md B.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/exchange.h"
#include "api/generation_fields.h"

namespace quern::api {

// One prompt, ready for the engine.
struct CompletionPrompt {
  std::vector<engine::TokenId> tokens;  // not empty
  std::string text;                     // what echo returns; valid UTF-8
  bool placeholder = false;  // the prompt was empty: tokens is a lone <|endoftext|> that stands for a beginning
};

// How the answer is written.
enum class CompletionShape {
  kText,  // choices[].text
  kFim,   // /fim/completions: choices[].message.content, delta.content
};

struct CompletionRequest {
  GenerationFields fields;
  CompletionShape shape = CompletionShape::kText;
  std::vector<CompletionPrompt> prompts;  // not empty
  std::vector<engine::TokenId> implicit_stops;
  int64_t default_max_tokens = 16;
  bool echo = false;
  int logprobs = -1;                                // -1 none
  int best_of = 1;                                  // >= n
  std::shared_ptr<const grammar::Grammar> grammar;  // of each text; null = free
};

// Errors: 400 naming the field.
ApiResult<CompletionRequest> ReadCompletionRequest(const ObjectReader& body, const ServedModel& model,
                                                   const Limits& limits, CompletionShape shape);

// The tokens that end a completion beside what the client named: ends of text, and the fill-in-the-middle markers when
// the prompt is one.
void AddImplicitStops(const ServedModel& model, bool fim, CompletionRequest& request);

}  // namespace quern::api
