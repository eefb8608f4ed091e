#include "api/generation_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <charconv>
#include <limits>

#include "api/ids.h"
#include "api/request_shapes.h"

namespace quern::api {

namespace json = boost::json;

namespace {

constexpr int64_t kAnyCount = std::numeric_limits<int64_t>::max();

ApiResult<void> ReadCounts(const ObjectReader& body, const Limits& limits, FieldsFor kind, GenerationFields& fields) {
  const int64_t least = kind == FieldsFor::kChat ? 1 : 0;
  for (const char* name : {"max_completion_tokens", "max_tokens", "n_predict"}) {
    QUERN_API_ASSIGN(const std::optional<int64_t> count, body.Int(name, -1, kAnyCount));
    if (!count || fields.max_tokens) continue;
    if (*count >= 0 && *count < least) {
      const std::string path = body.PathOf(name);
      return Fail(
          BadField(path, fmt::format("Invalid value for '{}': must be at least {}.", path, least), "invalid_value"));
    }
    fields.max_tokens = count;
  }
  QUERN_API_ASSIGN(const std::optional<int64_t> min_tokens, body.Int("min_tokens", 0, 1 << 24));
  fields.min_tokens = min_tokens.value_or(0);
  if (fields.max_tokens && *fields.max_tokens >= 0 && fields.min_tokens > *fields.max_tokens) {
    return Fail(BadField("min_tokens",
                         fmt::format("Invalid value for 'min_tokens': {} is more than max_tokens ({}).",
                                     fields.min_tokens, *fields.max_tokens),
                         "invalid_value"));
  }
  QUERN_API_ASSIGN(const std::optional<int64_t> n, body.Int("n", 1, static_cast<int64_t>(limits.max_choices)));
  fields.n = static_cast<int>(n.value_or(1));
  return {};
}

ApiResult<void> ReadLogitBias(const ObjectReader& body, int vocab_size, const Limits& limits,
                              engine::SamplingParams& out) {
  QUERN_API_ASSIGN(const json::object* bias, body.Object("logit_bias"));
  if (bias == nullptr) return {};
  if (bias->size() > limits.max_logit_bias) {
    return Fail(BadField("logit_bias",
                         fmt::format("Invalid value for 'logit_bias': {} entries, at most {} are allowed "
                                     "(limit max_logit_bias).",
                                     bias->size(), limits.max_logit_bias),
                         "invalid_value"));
  }
  const ObjectReader entries(*bias, body.PathOf("logit_bias"));
  for (const auto& [key, value] : *bias) {
    int token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size() || token < 0 || token >= vocab_size) {
      return Fail(BadField("logit_bias",
                           fmt::format("Invalid key in 'logit_bias': '{}' is not a token id below {}.",
                                       std::string_view(key).substr(0, 40), vocab_size),
                           "invalid_value"));
    }
    QUERN_API_ASSIGN(const auto amount, entries.Number(key, -100, 100));
    if (amount) out.logit_bias.emplace_back(token, static_cast<float>(*amount));
  }
  return {};
}

ApiResult<engine::TokenId> ReadTokenId(const json::value& value, const std::string& path, int vocab_size) {
  if (!value.is_number()) return Fail(WrongKind(path, "a token id", value));
  const std::optional<int64_t> id = AsInteger(value);
  if (!id || *id < 0 || *id >= vocab_size) {
    return Fail(
        BadField(path, fmt::format("Invalid value for '{}': token ids are integers in [0, {}].", path, vocab_size - 1),
                 "invalid_value"));
  }
  return static_cast<engine::TokenId>(*id);
}

ApiResult<void> CheckStopCount(const std::string& path, const Limits& limits, const GenerationFields& fields) {
  if (fields.stops.size() + fields.stop_tokens.size() < limits.max_stops) return {};
  return Fail(BadField(
      path, fmt::format("Too many stop sequences: at most {} are allowed (limit max_stops).", limits.max_stops),
      "invalid_value"));
}

class StopReader {
 public:
  StopReader(const ServedModel& model, const Limits& limits, GenerationFields& fields)
      : model_(model), limits_(limits), fields_(fields), vocab_size_(model.backend->info().vocab_size) {}

  // A string, a token id, or a list of these; a list of ids inside the list means their text (Model Studio).
  ApiResult<void> Read(const ObjectReader& body, std::string_view name) {
    const json::value* value = body.Find(name);
    if (value == nullptr) return {};
    const std::string path = body.PathOf(name);
    if (!value->is_array()) return ReadOne(*value, path);
    const json::array& list = value->get_array();
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string item = fmt::format("{}[{}]", path, i);
      if (list[i].is_array()) {
        QUERN_API_TRY(ReadIdList(list[i].get_array(), item));
      } else {
        QUERN_API_TRY(ReadOne(list[i], item));
      }
    }
    return {};
  }

  ApiResult<void> ReadIds(const ObjectReader& body, std::string_view name) {
    QUERN_API_ASSIGN(const json::array* list, body.Array(name));
    if (list == nullptr) return {};
    for (size_t i = 0; i < list->size(); ++i) {
      QUERN_API_TRY(AddId((*list)[i], fmt::format("{}[{}]", body.PathOf(name), i)));
    }
    return {};
  }

 private:
  ApiResult<void> ReadOne(const json::value& value, const std::string& path) {
    if (value.is_number()) return AddId(value, path);
    if (!value.is_string()) return Fail(WrongKind(path, "a string or an array of strings", value));
    return AddText(std::string(value.get_string()), path);
  }

  ApiResult<void> ReadIdList(const json::array& list, const std::string& path) {
    if (list.size() == 1) return AddId(list[0], path + "[0]");
    std::vector<engine::TokenId> ids;
    for (size_t i = 0; i < list.size() && i <= limits_.max_stop_bytes; ++i) {
      QUERN_API_ASSIGN(const engine::TokenId id, ReadTokenId(list[i], fmt::format("{}[{}]", path, i), vocab_size_));
      ids.push_back(id);
    }
    return AddText(model_.tokenizer->DecodeBytes(ids, false), path);
  }

  ApiResult<void> AddText(std::string text, const std::string& path) {
    return AddStop(std::move(text), path, limits_, fields_);
  }

  ApiResult<void> AddId(const json::value& value, const std::string& path) {
    QUERN_API_ASSIGN(const engine::TokenId id, ReadTokenId(value, path, vocab_size_));
    QUERN_API_TRY(CheckStopCount(path, limits_, fields_));
    fields_.stop_tokens.push_back(id);
    return {};
  }

  const ServedModel& model_;
  const Limits& limits_;
  GenerationFields& fields_;
  int vocab_size_;
};

ApiResult<void> ReadStreamOptions(const ObjectReader& body, GenerationFields& fields) {
  QUERN_API_ASSIGN(const auto stream, body.Bool("stream"));
  fields.stream = stream.value_or(false);
  QUERN_API_ASSIGN(const json::object* options, body.Object("stream_options"));
  if (options == nullptr) return {};
  const ObjectReader reader(*options, body.PathOf("stream_options"));
  QUERN_API_ASSIGN(const auto include_usage, reader.Bool("include_usage"));
  QUERN_API_ASSIGN(const auto continuous, reader.Bool("continuous_usage_stats"));
  QUERN_API_TRY(reader.Bool("include_obfuscation"));
  fields.include_usage = include_usage.value_or(false);
  fields.continuous_usage = fields.include_usage && continuous.value_or(false);
  return {};
}

}  // namespace

ApiResult<void> ReadSampling(const ObjectReader& body, const engine::SamplingDefaults& defaults, FieldsFor kind,
                             engine::SamplingParams& out) {
  const bool chat = kind == FieldsFor::kChat;
  QUERN_API_TRY(CheckShape(body, kSamplingShape));
  QUERN_API_ASSIGN(const auto temperature, body.Number("temperature"));
  out.temperature = static_cast<float>(temperature.value_or(chat ? defaults.temperature : 1.0F));
  QUERN_API_ASSIGN(const auto top_p, body.Number("top_p"));
  out.top_p = static_cast<float>(top_p.value_or(chat ? defaults.top_p : 1.0F));
  if (out.top_p <= 0) {
    // OpenAI takes 0 for "only the best token".
    out.top_p = 1;
    out.temperature = 0;
  }
  QUERN_API_ASSIGN(const auto top_k, body.Int("top_k"));
  out.top_k = static_cast<int>(top_k.value_or(chat ? defaults.top_k : 0));
  if (out.top_k < 0 || out.top_k > 100) out.top_k = 0;  // Model Studio: beyond 100 it is off
  QUERN_API_ASSIGN(const auto min_p, body.Number("min_p"));
  out.min_p = static_cast<float>(min_p.value_or(chat ? defaults.min_p : 0.0F));
  QUERN_API_ASSIGN(const auto presence, body.Number("presence_penalty"));
  out.presence_penalty = static_cast<float>(presence.value_or(0));
  QUERN_API_ASSIGN(const auto frequency, body.Number("frequency_penalty"));
  out.frequency_penalty = static_cast<float>(frequency.value_or(0));
  out.repetition_penalty = chat ? defaults.repetition_penalty : 1.0F;
  for (const char* name : {"repeat_penalty", "repetition_penalty"}) {
    QUERN_API_ASSIGN(const auto repetition, body.Number(name));
    if (!repetition) continue;
    if (!(static_cast<float>(*repetition) > 0)) {
      const std::string path = body.PathOf(name);
      return Fail(
          BadField(path, fmt::format("Invalid value for '{}': must be greater than 0.", path), "invalid_value"));
    }
    out.repetition_penalty = static_cast<float>(*repetition);
  }
  QUERN_API_ASSIGN(const auto seed, body.Int("seed"));
  out.seed = seed ? static_cast<uint64_t>(*seed) : RandomSeed();
  return {};
}

ApiResult<void> AddStop(std::string text, const std::string& path, const Limits& limits, GenerationFields& fields) {
  if (text.empty()) {
    return Fail(
        BadField(path, fmt::format("Invalid value for '{}': a stop string must not be empty.", path), "invalid_value"));
  }
  if (text.size() > limits.max_stop_bytes) {
    return Fail(BadField(path,
                         fmt::format("Invalid value for '{}': {} bytes, at most {} are allowed (limit "
                                     "max_stop_bytes).",
                                     path, text.size(), limits.max_stop_bytes),
                         "invalid_value"));
  }
  QUERN_API_TRY(CheckStopCount(path, limits, fields));
  fields.stops.push_back(std::move(text));
  return {};
}

ApiResult<std::shared_ptr<const ServedModel>> ReadModel(const ObjectReader& body, const ModelRegistry& models) {
  QUERN_API_ASSIGN(const auto name, body.String("model"));
  if (!name || name->empty()) {
    return Fail(BadField("model", "you must provide a model parameter.", "missing_required_parameter"));
  }
  std::shared_ptr<const ServedModel> model = models.Find(*name);
  if (model) return model;
  ApiError error = BadField("model",
                            fmt::format("The model '{}' does not exist or you do not have access to it. GET /v1/models "
                                        "lists the names served here.",
                                        name->substr(0, 200)),
                            "model_not_found");
  error.http_status = 404;
  return Fail(std::move(error));
}

ApiResult<GenerationFields> ReadGenerationFields(const ObjectReader& body, const ServedModel& model,
                                                 const Limits& limits, FieldsFor kind) {
  GenerationFields fields;
  const engine::BackendInfo& info = model.backend->info();
  QUERN_API_ASSIGN(const std::string_view name, body.NeedString("model"));
  fields.model_name = name;
  QUERN_API_TRY(ReadStreamOptions(body, fields));
  QUERN_API_TRY(ReadCounts(body, limits, kind, fields));
  QUERN_API_TRY(ReadSampling(body, info.defaults, kind, fields.sampling));
  QUERN_API_TRY(ReadLogitBias(body, info.vocab_size, limits, fields.sampling));
  StopReader stops(model, limits, fields);
  QUERN_API_TRY(stops.Read(body, "stop"));
  QUERN_API_TRY(stops.ReadIds(body, "stop_token_ids"));
  QUERN_API_ASSIGN(const auto ignore_eos, body.Bool("ignore_eos"));
  fields.ignore_eos = ignore_eos.value_or(false);
  QUERN_API_ASSIGN(const auto skip_special, body.Bool("skip_special_tokens"));
  fields.skip_special_tokens = skip_special.value_or(true);
  QUERN_API_ASSIGN(const auto token_ids, body.Bool("return_token_ids"));
  fields.return_token_ids = token_ids.value_or(false);
  QUERN_API_TRY(body.String("user"));
  QUERN_API_TRY(body.Object("metadata"));
  QUERN_API_ASSIGN(fields.format, ReadOutputFormat(body));
  return fields;
}

engine::GenerateRequest MakeGenerateRequest(const GenerationFields& fields, const ServedModel& model,
                                            std::vector<engine::TokenId> prompt, int choice_idx, int64_t default_max) {
  const auto n_prompt = static_cast<int64_t>(prompt.size());
  const int64_t room = std::max<int64_t>(0, model.context_length() - n_prompt);
  int64_t max_tokens = fields.max_tokens.value_or(default_max);
  if (max_tokens < 0) max_tokens = room;
  engine::GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling = fields.sampling;
  request.sampling.seed += static_cast<uint64_t>(choice_idx);
  request.max_tokens = static_cast<int>(std::min<int64_t>({max_tokens, room, model.max_output()}));
  request.min_tokens = static_cast<int>(std::min<int64_t>(fields.min_tokens, request.max_tokens));
  request.keep_alive = fields.keep_alive;
  request.stop_tokens = fields.stop_tokens;
  if (!fields.ignore_eos) {
    for (const engine::TokenId id : model.backend->info().eos_tokens) request.stop_tokens.push_back(id);
  }
  return request;
}

namespace {

ApiError TooLong(const ServedModel& model, std::string_view at_least, int64_t n_prompt, std::string_view what) {
  const int64_t n_ctx = model.context_length();
  ApiError error = BadField(
      std::string(what),
      fmt::format(
          "This model's maximum context length is {} tokens. However, your {} resulted in {}{} tokens. Range of "
          "input length should be [1, {}].",
          n_ctx, what, at_least, n_prompt, n_ctx - 1),
      "context_length_exceeded");
  error.numbers = {{"n_prompt", n_prompt}, {"n_ctx", n_ctx}, {"n_over", n_prompt - (n_ctx - 1)}};
  return error;
}

}  // namespace

ApiResult<void> CheckPromptFits(const ServedModel& model, size_t n_prompt, bool needs_output, std::string_view what) {
  const auto n_ctx = static_cast<size_t>(model.context_length());
  if (n_prompt + (needs_output ? 1 : 0) <= n_ctx) return {};
  return Fail(TooLong(model, "", static_cast<int64_t>(n_prompt), what));
}

ApiResult<void> CheckTextFits(const ServedModel& model, size_t n_bytes, std::string_view what) {
  const size_t n_least = n_bytes / std::max<size_t>(1, model.max_token_bytes);
  // NFC never shortens a text to less than a third, so this bound stays safe with a factor of four.
  if (n_least / 4 <= static_cast<size_t>(model.context_length())) return {};
  return Fail(TooLong(model, "at least ", static_cast<int64_t>(n_least / 4), what));
}

}  // namespace quern::api
