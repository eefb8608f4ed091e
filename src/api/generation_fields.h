// The request fields that chat and text completions share (api.md A.2): sampling, stops, counts, stream options.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/errors.h"
#include "api/json_reader.h"
#include "api/limits.h"
#include "api/output_format.h"
#include "api/served_model.h"
#include "engine/engine.h"

namespace quern::api {

struct GenerationFields {
  std::string model_name;  // as the client wrote it; echoed
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;  // usage in every chunk
  bool return_token_ids = false;
  bool ignore_eos = false;
  bool skip_special_tokens = true;
  int n = 1;
  std::optional<int64_t> max_tokens;  // absent = the dialect's default; -1 = as many as fit
  int64_t min_tokens = 0;
  std::vector<std::string> stops;                       // none empty
  std::vector<engine::TokenId> stop_tokens;             // what the client named, without the model's own
  engine::SamplingParams sampling;                      // seed is always set
  std::optional<std::chrono::milliseconds> keep_alive;  // see engine::GenerateRequest
  std::shared_ptr<const OutputFormat> format;           // of the text; null = free
};

enum class FieldsFor { kChat, kCompletions };

// Looks up "model". Errors: 400 (missing), 404 model_not_found.
ApiResult<std::shared_ptr<const ServedModel>> ReadModel(const ObjectReader& body, const ModelRegistry& models);

// Errors: 400 naming the field.
ApiResult<GenerationFields> ReadGenerationFields(const ObjectReader& body, const ServedModel& model,
                                                 const Limits& limits, FieldsFor kind);

// ---- Parts of it, for dialects that name their fields otherwise ----

// temperature, top_p, top_k, min_p, the penalties and seed. Errors: 400 naming the field.
ApiResult<void> ReadSampling(const ObjectReader& body, const engine::SamplingDefaults& defaults, FieldsFor kind,
                             engine::SamplingParams& out);

// One more stop string, found at path. Errors: 400 (empty, too long, too many).
ApiResult<void> AddStop(std::string text, const std::string& path, const Limits& limits, GenerationFields& fields);

// The engine's request for one choice. n_prompt: the prompt's tokens, checked to fit. choice_idx moves the seed on, so
// that the choices of one request differ. default_max is used when the client named no count.
engine::GenerateRequest MakeGenerateRequest(const GenerationFields& fields, const ServedModel& model,
                                            std::vector<engine::TokenId> prompt, int choice_idx, int64_t default_max);

// Errors: 400 context_length_exceeded when n_prompt tokens leave no room for one more (or none at all when
// needs_output is false). `what` is "messages" or "prompt".
ApiResult<void> CheckPromptFits(const ServedModel& model, size_t n_prompt, bool needs_output, std::string_view what);
// The same before encoding, from the text's length alone: catches what cannot possibly fit.
ApiResult<void> CheckTextFits(const ServedModel& model, size_t n_bytes, std::string_view what);

}  // namespace quern::api
