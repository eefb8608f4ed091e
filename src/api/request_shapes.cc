#include "api/request_shapes.h"

namespace quern::api {

// Ranges whose end is a setting (n, top_logprobs, ...) are not here: their readers name the setting.

namespace {

constexpr unsigned kTextOrList = kStringKind | kArrayKind;
constexpr unsigned kTextOrObject = kStringKind | kObjectKind;
constexpr double kMostInt = 2147483647;

constexpr Field kTextItem = {.name = "", .kinds = kStringKind};

// ---- shared parts ----

constexpr Field kModelField[] = {
    {.name = "model", .kinds = kStringKind, .required = true, .missing = "you must provide a model parameter."}};
constexpr Shape kModelShape = {kModelField};

constexpr Field kSamplingFields[] = {
    {.name = "temperature", .kinds = kNumberKind, .min = 0, .max = 2},
    {.name = "top_p", .kinds = kNumberKind, .min = 0, .max = 1},
    {.name = "top_k", .kinds = kIntegerKind, .min = -1, .max = kMostInt},
    {.name = "min_p", .kinds = kNumberKind, .min = 0, .max = 1},
    {.name = "presence_penalty", .kinds = kNumberKind, .min = -2, .max = 2},
    {.name = "frequency_penalty", .kinds = kNumberKind, .min = -2, .max = 2},
    {.name = "repeat_penalty", .kinds = kNumberKind, .min = 0, .max = 100},
    {.name = "repetition_penalty", .kinds = kNumberKind, .min = 0, .max = 100},
    {.name = "seed", .kinds = kIntegerKind, .min = 0},
};
const Shape* const kSamplingPart[] = {&kSamplingShape};

constexpr Field kStreamOptionFields[] = {
    {.name = "include_usage", .kinds = kBoolKind},
    {.name = "continuous_usage_stats", .kinds = kBoolKind},
    {.name = "include_obfuscation", .kinds = kBoolKind},
};
constexpr Shape kStreamOptions = {kStreamOptionFields};

constexpr Field kFormatFields[] = {
    {.name = "type", .kinds = kStringKind, .required = true},
    {.name = "json_schema", .kinds = kObjectKind},
};
constexpr Shape kFormat = {kFormatFields};

// What chat and text completions share: counts, stops, streams, formats.
constexpr Field kGenerationFields[] = {
    {.name = "stream", .kinds = kBoolKind},
    {.name = "stream_options", .kinds = kObjectKind, .object = &kStreamOptions},
    {.name = "max_completion_tokens", .kinds = kIntegerKind, .min = -1},
    {.name = "max_tokens", .kinds = kIntegerKind, .min = -1},
    {.name = "n_predict", .kinds = kIntegerKind, .min = -1},
    {.name = "min_tokens", .kinds = kIntegerKind, .min = 0, .max = 1 << 24},
    {.name = "n", .kinds = kIntegerKind},
    {.name = "logit_bias", .kinds = kObjectKind},
    {.name = "stop", .kinds = kTextOrList | kIntegerKind},
    {.name = "stop_token_ids", .kinds = kArrayKind},
    {.name = "ignore_eos", .kinds = kBoolKind},
    {.name = "skip_special_tokens", .kinds = kBoolKind},
    {.name = "return_token_ids", .kinds = kBoolKind},
    {.name = "user", .kinds = kStringKind},
    {.name = "metadata", .kinds = kObjectKind},
    {.name = "response_format", .kinds = kObjectKind, .object = &kFormat},
    {.name = "guided_json"},
    {.name = "guided_regex", .kinds = kStringKind},
    {.name = "guided_choice", .kinds = kArrayKind, .items = &kTextItem},
    {.name = "guided_grammar", .kinds = kStringKind},
    {.name = "structured_outputs", .kinds = kObjectKind},
    {.name = "json_schema"},
    {.name = "grammar", .kinds = kStringKind},
};
constexpr Shape kGenerationShape = {kGenerationFields, kSamplingPart};

// ---- OpenAI chat ----

constexpr Field kMessageFields[] = {
    {.name = "role", .kinds = kStringKind, .required = true},
    {.name = "content"},
    {.name = "name", .kinds = kStringKind},
    {.name = "tool_calls"},
    {.name = "function_call"},
    {.name = "tool_call_id", .kinds = kStringKind},
    {.name = "partial", .kinds = kBoolKind},
    {.name = "prefix", .kinds = kBoolKind},
};
constexpr Shape kMessage = {kMessageFields};
constexpr Field kMessageItem = {.name = "", .kinds = kObjectKind, .object = &kMessage};

constexpr Field kPredictionFields[] = {
    {.name = "type", .kinds = kStringKind, .required = true},
    {.name = "content"},
};
constexpr Shape kPrediction = {kPredictionFields};

constexpr Field kChatFields[] = {
    {.name = "messages", .kinds = kArrayKind, .required = true, .items = &kMessageItem},
    {.name = "tools", .kinds = kArrayKind},
    {.name = "tool_choice", .kinds = kTextOrObject},
    {.name = "functions", .kinds = kArrayKind},
    {.name = "function_call", .kinds = kTextOrObject},
    {.name = "parallel_tool_calls", .kinds = kBoolKind},
    {.name = "logprobs", .kinds = kBoolKind},
    {.name = "top_logprobs", .kinds = kIntegerKind},
    {.name = "modalities", .kinds = kArrayKind, .items = &kTextItem},
    {.name = "enable_search", .kinds = kBoolKind},
    {.name = "enable_thinking", .kinds = kBoolKind},
    {.name = "prediction", .kinds = kObjectKind, .object = &kPrediction},
    {.name = "store", .kinds = kBoolKind},
    {.name = "continue_final_message", .kinds = kBoolKind},
    {.name = "add_generation_prompt", .kinds = kBoolKind},
    {.name = "chat_template_kwargs", .kinds = kObjectKind},
};
constexpr const Shape* kGenerationPart[] = {&kGenerationShape};
constexpr Shape kChatPart = {kChatFields, kGenerationPart};
constexpr const Shape* kModelAndChat[] = {&kModelShape, &kChatPart};

constexpr Field kUpdateFields[] = {{.name = "metadata", .kinds = kObjectKind}};

// ---- completions ----

constexpr Field kCompletionFields[] = {
    {.name = "prompt", .kinds = kTextOrList},   {.name = "suffix", .kinds = kStringKind},
    {.name = "echo", .kinds = kBoolKind},       {.name = "logprobs", .kinds = kIntegerKind},
    {.name = "best_of", .kinds = kIntegerKind},
};
constexpr Shape kCompletionPart = {kCompletionFields, kGenerationPart};
constexpr const Shape* kModelAndCompletion[] = {&kModelShape, &kCompletionPart};

// ---- responses ----

constexpr std::string_view kTruncations[] = {"auto", "disabled"};
constexpr Field kTextFormatFields[] = {
    {.name = "type", .kinds = kStringKind, .required = true},
};
constexpr Shape kTextFormat = {kTextFormatFields};
constexpr Field kTextFields[] = {{.name = "format", .kinds = kObjectKind, .object = &kTextFormat}};
constexpr Shape kText = {kTextFields};
constexpr Field kResponsesFields[] = {
    {.name = "input", .kinds = kTextOrList},
    {.name = "instructions", .kinds = kStringKind},
    {.name = "previous_response_id", .kinds = kStringKind},
    {.name = "stream", .kinds = kBoolKind},
    {.name = "max_output_tokens", .kinds = kIntegerKind, .min = 1},
    {.name = "tools", .kinds = kArrayKind},
    {.name = "tool_choice", .kinds = kTextOrObject},
    {.name = "parallel_tool_calls", .kinds = kBoolKind},
    {.name = "text", .kinds = kObjectKind, .object = &kText},
    {.name = "top_logprobs", .kinds = kIntegerKind},
    {.name = "include", .kinds = kArrayKind, .items = &kTextItem},
    {.name = "store", .kinds = kBoolKind},
    {.name = "metadata", .kinds = kObjectKind},
    {.name = "user", .kinds = kStringKind},
    {.name = "reasoning", .kinds = kObjectKind},
    {.name = "background", .kinds = kBoolKind},
    {.name = "truncation", .kinds = kStringKind, .values = kTruncations},
};
const Shape* const kModelAndSampling[] = {&kModelShape, &kSamplingShape};

// ---- batches ----

constexpr Field kBatchFields[] = {
    {.name = "input_file_id", .kinds = kStringKind, .required = true},
    {.name = "endpoint", .kinds = kStringKind, .required = true},
    {.name = "completion_window", .kinds = kStringKind, .required = true},
    {.name = "metadata", .kinds = kObjectKind},
};

// ---- Anthropic ----

constexpr Field kAnthropicFields[] = {
    {.name = "messages", .kinds = kArrayKind, .required = true},
    {.name = "system", .kinds = kTextOrList},
    {.name = "max_tokens", .kinds = kIntegerKind, .min = 1},
    {.name = "stop_sequences", .kinds = kArrayKind},
    {.name = "stream", .kinds = kBoolKind},
    {.name = "tools", .kinds = kArrayKind},
    {.name = "tool_choice", .kinds = kObjectKind},
    {.name = "metadata", .kinds = kObjectKind},
    {.name = "output_config", .kinds = kObjectKind},
    {.name = "output_format", .kinds = kObjectKind},
};

// ---- DashScope ----

constexpr Field kInputFields[] = {
    {.name = "messages", .kinds = kArrayKind},
    {.name = "prompt"},
    {.name = "history"},
};
constexpr Shape kInput = {kInputFields};
constexpr Field kParameterFields[] = {
    {.name = "result_format", .kinds = kStringKind},
    {.name = "incremental_output", .kinds = kBoolKind},
    {.name = "stream", .kinds = kBoolKind},
    {.name = "temperature", .kinds = kNumberKind},
    {.name = "top_p", .kinds = kNumberKind},
    {.name = "top_k", .kinds = kNumberKind},
    {.name = "repetition_penalty", .kinds = kNumberKind},
    {.name = "presence_penalty", .kinds = kNumberKind},
    {.name = "max_tokens", .kinds = kNumberKind},
    {.name = "max_completion_tokens", .kinds = kNumberKind},
    {.name = "max_length", .kinds = kNumberKind},
    {.name = "n", .kinds = kNumberKind},
    {.name = "seed", .kinds = kIntegerKind},
    {.name = "stop", .kinds = kTextOrList | kIntegerKind},
    {.name = "tools", .kinds = kArrayKind},
    {.name = "tool_choice", .kinds = kTextOrObject},
};
constexpr Shape kParameters = {kParameterFields};
// What is missing has errors of this family's own (D.6), so nothing is required here.
constexpr Field kDashScopeFields[] = {
    {.name = "model", .kinds = kStringKind},
    {.name = "input", .kinds = kObjectKind, .object = &kInput},
    {.name = "parameters", .kinds = kObjectKind, .object = &kParameters},
};
constexpr Field kDashScopeTokenizerFields[] = {
    {.name = "model", .kinds = kStringKind},
    {.name = "input", .kinds = kObjectKind, .object = &kInput},
};

// ---- llama.cpp and vLLM: the model may be left out ----

constexpr Field kInfillFields[] = {
    {.name = "model", .kinds = kStringKind},        {.name = "input_prefix", .kinds = kStringKind},
    {.name = "input_suffix", .kinds = kStringKind}, {.name = "prompt", .kinds = kStringKind},
    {.name = "input_extra", .kinds = kArrayKind},
};
constexpr Field kTokenizeFields[] = {
    {.name = "model", .kinds = kStringKind},
    {.name = "content", .kinds = kStringKind},
    {.name = "prompt", .kinds = kStringKind},
    {.name = "messages", .kinds = kArrayKind},
    {.name = "with_pieces"},
    {.name = "parse_special"},
    {.name = "return_token_strs", .kinds = kBoolKind},
};
constexpr Field kIdItem = {.name = "", .kinds = kIntegerKind};
constexpr Field kDetokenizeFields[] = {
    {.name = "model", .kinds = kStringKind},
    {.name = "tokens", .kinds = kArrayKind, .required = true, .items = &kIdItem},
};
constexpr Field kOptionalModel[] = {{.name = "model", .kinds = kStringKind}};
constexpr const Shape* kCompletionParts[] = {&kCompletionPart};
constexpr const Shape* kChatParts[] = {&kChatPart};

// ---- Ollama ----

constexpr Field kOllamaChatFields[] = {
    {.name = "messages", .kinds = kArrayKind},  {.name = "tools", .kinds = kArrayKind},
    {.name = "stream", .kinds = kBoolKind},     {.name = "options", .kinds = kObjectKind},
    {.name = "format", .kinds = kTextOrObject},
};
constexpr Field kOllamaGenerateFields[] = {
    {.name = "prompt", .kinds = kTextOrList},  {.name = "raw", .kinds = kBoolKind},
    {.name = "suffix", .kinds = kStringKind},  {.name = "stream", .kinds = kBoolKind},
    {.name = "options", .kinds = kObjectKind}, {.name = "format", .kinds = kTextOrObject},
};
constexpr Field kOllamaShowFields[] = {
    {.name = "model", .kinds = kStringKind},
    {.name = "name", .kinds = kStringKind},
};
constexpr const Shape* kModelPart[] = {&kModelShape};

}  // namespace

constexpr Shape kSamplingShape = {kSamplingFields};

const Shape kChatShape = {{}, kModelAndChat};
const Shape kChatUpdateShape = {kUpdateFields};
const Shape kCompletionShape = {{}, kModelAndCompletion};
const Shape kResponsesShape = {kResponsesFields, kModelAndSampling};
const Shape kBatchShape = {kBatchFields};
const Shape kAnthropicShape = {kAnthropicFields, kModelAndSampling};
const Shape kDashScopeShape = {kDashScopeFields};
const Shape kDashScopeTokenizerShape = {kDashScopeTokenizerFields};
const Shape kSegmindShape = kChatPart;
const Shape kLlamaCppCompletionShape = {kOptionalModel, kCompletionParts};
const Shape kInfillShape = {kInfillFields, kGenerationPart};
const Shape kTokenizeShape = {kTokenizeFields};
const Shape kDetokenizeShape = {kDetokenizeFields};
const Shape kTemplateShape = {kOptionalModel, kChatParts};
const Shape kOllamaChatShape = {kOllamaChatFields, kModelPart};
const Shape kOllamaGenerateShape = {kOllamaGenerateFields, kModelPart};
const Shape kOllamaShowShape = {kOllamaShowFields};

}  // namespace quern::api
