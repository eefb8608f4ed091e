#include "api/llamacpp_completion.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <chrono>

#include "api/fim.h"
#include "api/json_writer.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// Collects a prompt of markers (which act) and of texts (which do not).
class PromptBuilder {
 public:
  void Marker(std::string_view text) { text_ += text; }
  void Literal(std::string_view text) {
    if (text.empty()) return;
    literal_.push_back({text_.size(), text_.size() + text.size()});
    text_ += text;
  }
  CompletionPrompt Build(const tokenizer::Tokenizer& tokenizer) && {
    tokenizer::EncodeOptions encode;
    encode.literal = literal_;
    CompletionPrompt prompt;
    prompt.tokens = tokenizer.Encode(text_, encode);
    prompt.text = std::move(text_);
    return prompt;
  }
  size_t size() const { return text_.size(); }

 private:
  std::string text_;
  std::vector<tokenizer::ByteRange> literal_;
};

ApiResult<void> AddExtra(const ObjectReader& body, const Limits& limits, PromptBuilder& builder) {
  QUERN_API_ASSIGN(const json::array* extra, body.Array("input_extra"));
  if (extra == nullptr || extra->empty()) return {};
  if (extra->size() > limits.max_content_parts) {
    return Fail(BadField("input_extra",
                         fmt::format("'input_extra' has {} entries, at most {} are allowed (limit max_content_parts).",
                                     extra->size(), limits.max_content_parts),
                         "invalid_value"));
  }
  builder.Marker("<|repo_name|>");
  builder.Marker("myproject\n");
  for (size_t i = 0; i < extra->size(); ++i) {
    const std::string path = fmt::format("input_extra[{}]", i);
    if (!(*extra)[i].is_object()) return Fail(WrongKind(path, "an object", (*extra)[i]));
    const ObjectReader entry((*extra)[i].get_object(), path);
    QUERN_API_ASSIGN(const std::string_view text, entry.NeedString("text"));
    QUERN_API_ASSIGN(const auto filename, entry.String("filename"));
    builder.Marker("<|file_sep|>");
    builder.Literal(filename.value_or("tmp"));
    builder.Marker("\n");
    builder.Literal(text);
    builder.Marker("\n");
  }
  builder.Marker("<|file_sep|>");
  builder.Marker("filename\n");
  return {};
}

// Times and counts as llama.cpp's server reports them.
class LlamaCppWriter final : public CompletionWriter {
 public:
  void Attach(Exchange& exchange, const CompletionTurn& turn) override {
    exchange_ = &exchange;
    turn_ = &turn;
  }

  void Begin() override { exchange_->StartSse(); }

  void Delta(size_t number, const CompletionDelta& delta, const Usage&) override {
    MarkFirst();
    WritePiece(number, delta);
  }

  void KeepAlive(size_t number, const Usage&) override { WritePiece(number, {}); }

  void EndChoice(size_t number, const CompletionEnd& end, const Usage& so_far) override {
    JsonWriter json;
    WriteFinal(json, number, {}, end, so_far);
    exchange_->WriteData(json.text());
  }

  void End(const Usage&) override { exchange_->EndStream(200); }

  void Fail(const ApiError& error) override {
    exchange_->WriteData(exchange_->dialect().error_json(error, ""));
    exchange_->EndStream(error.http_status);
  }

  // Several prompts are answered by a list, one by an object.
  std::string Whole(std::span<const WholeCompletion> choices, const Usage& usage) override {
    JsonWriter json;
    if (choices.size() > 1) json.BeginArray();
    for (size_t i = 0; i < choices.size(); ++i) {
      const Usage own{static_cast<int>(PromptOf(i).tokens.size()), choices.size() == 1 ? usage.n_cached : 0,
                      static_cast<int>(choices[i].all.token_ids.size())};
      WriteFinal(json, i, choices[i].all, choices[i].end, choices.size() == 1 ? usage : own);
    }
    if (choices.size() > 1) json.EndArray();
    return json.Take();
  }

 private:
  using Clock = std::chrono::steady_clock;

  const CompletionPrompt& PromptOf(size_t number) const {
    return turn_->request.prompts[number / static_cast<size_t>(turn_->request.fields.n)];
  }

  void MarkFirst() {
    if (first_ == Clock::time_point{}) first_ = Clock::now();
  }

  void WritePiece(size_t number, const CompletionDelta& delta) const {
    JsonWriter json;
    json.BeginObject().Key("index").Int(static_cast<int64_t>(number)).Key("content").String(delta.text);
    WriteTokens(json, delta.token_ids);
    json.Key("stop").Bool(false).EndObject();
    exchange_->WriteData(json.text());
  }

  void WriteTokens(JsonWriter& json, const std::vector<engine::TokenId>& ids) const {
    json.Key("tokens").BeginArray();
    for (const engine::TokenId id : ids) json.Int(id);
    json.EndArray();
  }

  static std::string_view StopType(const CompletionEnd& end) {
    if (!end.stop_match.empty()) return "word";
    return end.finish_reason == "length" ? "limit" : "eos";
  }

  void WriteFinal(JsonWriter& json, size_t number, const CompletionDelta& all, const CompletionEnd& end,
                  const Usage& usage) {
    MarkFirst();
    json.BeginObject().Key("index").Int(static_cast<int64_t>(number)).Key("content").String(all.text);
    WriteTokens(json, all.token_ids);
    json.Key("stop").Bool(true).Key("stop_type").String(StopType(end));
    json.Key("stopping_word").SanitizedString(end.stop_match);
    json.Key("model").String(turn_->request.fields.model_name);
    json.Key("prompt").SanitizedString(PromptOf(number).text);
    WriteSettings(json);
    json.Key("tokens_cached").Int(usage.n_cached).Key("tokens_evaluated").Int(usage.n_prompt);
    json.Key("tokens_predicted").Int(usage.n_generated).Key("truncated").Bool(false);
    WriteTimings(json, usage);
    json.EndObject();
  }

  void WriteSettings(JsonWriter& json) const {
    const GenerationFields& fields = turn_->request.fields;
    json.Key("generation_settings").BeginObject();
    json.Key("n_predict")
        .Int(fields.max_tokens.value_or(-1))
        .Key("seed")
        .Int(static_cast<int64_t>(fields.sampling.seed));
    json.Key("temperature").Number(fields.sampling.temperature).Key("top_k").Int(fields.sampling.top_k);
    json.Key("top_p").Number(fields.sampling.top_p).Key("min_p").Number(fields.sampling.min_p);
    json.Key("repeat_penalty").Number(fields.sampling.repetition_penalty).Key("stream").Bool(fields.stream);
    json.EndObject();
  }

  void WriteTimings(JsonWriter& json, const Usage& usage) const {
    const auto ms = [](Clock::duration span) { return std::chrono::duration<double, std::milli>(span).count(); };
    const double prompt_ms = ms(first_ - began_);
    const double predicted_ms = ms(Clock::now() - first_);
    const auto per_second = [](int n, double in_ms) { return in_ms > 0 ? n * 1e3 / in_ms : 0; };
    const int n_prompt = usage.n_prompt - usage.n_cached;
    json.Key("timings").BeginObject();
    json.Key("cache_n").Int(usage.n_cached).Key("prompt_n").Int(n_prompt).Key("prompt_ms").Number(prompt_ms);
    json.Key("prompt_per_second").Number(per_second(n_prompt, prompt_ms));
    json.Key("predicted_n").Int(usage.n_generated).Key("predicted_ms").Number(predicted_ms);
    json.Key("predicted_per_second").Number(per_second(usage.n_generated, predicted_ms)).EndObject();
  }

  Exchange* exchange_ = nullptr;
  const CompletionTurn* turn_ = nullptr;
  const Clock::time_point began_ = Clock::now();
  Clock::time_point first_{};
};

}  // namespace

ApiResult<std::shared_ptr<const ServedModel>> ReadModelOrFirst(json::object& body, const ModelRegistry& models) {
  const json::value* name = body.if_contains("model");
  if ((name == nullptr || name->is_null()) && !models.models().empty()) body["model"] = models.models().front()->id;
  return ReadModel(ObjectReader(body, ""), models);
}

ApiResult<CompletionRequest> ReadLlamaCppCompletion(const json::object& body, const ServedModel& model,
                                                    const Limits& limits) {
  QUERN_API_ASSIGN(CompletionRequest request,
                   ReadCompletionRequest(ObjectReader(body, ""), model, limits, CompletionShape::kText));
  request.default_max_tokens = -1;
  return request;
}

ApiResult<CompletionRequest> ReadInfill(const json::object& body, const ServedModel& model, const Limits& limits) {
  const ObjectReader reader(body, "");
  CompletionRequest request;
  QUERN_API_ASSIGN(request.fields, ReadGenerationFields(reader, model, limits, FieldsFor::kCompletions));
  QUERN_API_ASSIGN(const auto prefix, reader.String("input_prefix"));
  QUERN_API_ASSIGN(const auto suffix, reader.String("input_suffix"));
  QUERN_API_ASSIGN(const auto middle, reader.String("prompt"));
  if (model.tokenizer->AddedTokenId(kFimMiddle) < 0) {
    return Fail(
        BadField("", "This model's tokenizer has no fill-in-the-middle tokens: it cannot fill in.", "unsupported"));
  }
  PromptBuilder builder;
  QUERN_API_TRY(AddExtra(reader, limits, builder));
  builder.Marker(kFimPrefix);
  builder.Literal(prefix.value_or(""));
  builder.Marker(kFimSuffix);
  builder.Literal(suffix.value_or(""));
  builder.Marker(kFimMiddle);
  builder.Literal(middle.value_or(""));
  QUERN_API_TRY(CheckTextFits(model, builder.size(), "prompt"));
  request.prompts.push_back(std::move(builder).Build(*model.tokenizer));
  const bool needs_output = request.fields.max_tokens.value_or(1) != 0;
  QUERN_API_TRY(CheckPromptFits(model, request.prompts[0].tokens.size(), needs_output, "prompt"));
  request.default_max_tokens = -1;
  request.best_of = request.fields.n;
  AddImplicitStops(model, true, request);
  return request;
}

std::unique_ptr<CompletionWriter> NewLlamaCppWriter() { return std::make_unique<LlamaCppWriter>(); }

}  // namespace quern::api
