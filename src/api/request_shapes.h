// The shapes of the JSON bodies of all routes, for their tables. Fields that several families share stand in parts.
#pragma once

#include "api/shape.h"

namespace quern::api {

// How tokens are chosen; ReadSampling checks what it is given against this.
extern const Shape kSamplingShape;

extern const Shape kChatShape;        // A.2
extern const Shape kChatUpdateShape;  // of a stored one
extern const Shape kCompletionShape;  // B, and /fim/completions
extern const Shape kResponsesShape;   // C.1
extern const Shape kBatchShape;       // G.7
extern const Shape kAnthropicShape;   // E.2, and count_tokens
extern const Shape kDashScopeShape;   // D.2
extern const Shape kDashScopeTokenizerShape;
extern const Shape kSegmindShape;             // F: chat without a model
extern const Shape kLlamaCppCompletionShape;  // H.1
extern const Shape kInfillShape;
extern const Shape kTokenizeShape;  // llama.cpp's and vLLM's
extern const Shape kDetokenizeShape;
extern const Shape kTemplateShape;    // /apply-template, .../input_tokens
extern const Shape kOllamaChatShape;  // H.3
extern const Shape kOllamaGenerateShape;
extern const Shape kOllamaShowShape;

}  // namespace quern::api
