#include "api/openai_completion_writer.h"

#include "api/ids.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

class OpenAiCompletionWriter final : public CompletionWriter {
 public:
  void Attach(Exchange& exchange, const CompletionTurn& turn) override {
    exchange_ = &exchange;
    turn_ = &turn;
    prompt_ids_sent_.assign(turn.request.prompts.size() * static_cast<size_t>(turn.request.fields.n), 0);
  }

  void Begin() override {
    exchange_->StartSse();
    if (turn_->request.shape != CompletionShape::kFim) return;
    for (size_t i = 0; i < prompt_ids_sent_.size(); ++i) WriteRole(i);
  }

  void Delta(size_t number, const CompletionDelta& delta, const Usage& so_far) override {
    WriteChunk(number, delta, "", so_far);
  }

  // An empty piece of text: idle timers do not count comments.
  void KeepAlive(size_t number, const Usage& so_far) override { WriteChunk(number, {}, "", so_far); }

  void EndChoice(size_t number, const CompletionEnd& end, const Usage& so_far) override {
    WriteChunk(number, {}, end.finish_reason, so_far);
  }

  void End(const Usage& usage) override {
    if (turn_->request.fields.include_usage) WriteUsageChunk(usage);
    exchange_->FinishSse();
  }

  void Fail(const ApiError& error) override { exchange_->FailSse(error); }

  std::string Whole(std::span<const WholeCompletion> choices, const Usage& usage) override {
    JsonWriter json;
    BeginObject(json);
    for (size_t i = 0; i < choices.size(); ++i) WriteChoice(json, i, choices[i].all, choices[i].end.finish_reason);
    json.EndArray().Key("usage");
    WriteUsage(json, usage, true);
    json.EndObject();
    return json.Take();
  }

 private:
  void BeginObject(JsonWriter& json) {
    const bool fim = turn_->request.shape == CompletionShape::kFim;
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String(!fim                           ? "text_completion"
                              : turn_->request.fields.stream ? "chat.completion.chunk"
                                                             : "chat.completion");
    json.Key("created").Int(created_);
    json.Key("model").String(turn_->request.fields.model_name);
    json.Key("system_fingerprint").Null();
    json.Key("choices").BeginArray();
  }

  void WriteIds(JsonWriter& json, std::string_view key, const std::vector<engine::TokenId>& ids) {
    json.Key(key).BeginArray();
    for (const engine::TokenId id : ids) json.Int(id);
    json.EndArray();
  }

  void WriteChoice(JsonWriter& json, size_t number, const CompletionDelta& delta, std::string_view finish_reason) {
    json.BeginObject();
    if (turn_->request.shape == CompletionShape::kFim) {
      json.Key("index").Int(static_cast<int64_t>(number));
      json.Key(turn_->request.fields.stream ? "delta" : "message").BeginObject();
      if (!turn_->request.fields.stream) json.Key("role").String("assistant");
      if (!turn_->request.fields.stream || finish_reason.empty()) json.Key("content").String(delta.text);
      json.EndObject();
    } else {
      json.Key("text").String(delta.text);
      json.Key("index").Int(static_cast<int64_t>(number));
      json.Key("logprobs");
      if (turn_->request.logprobs >= 0 && finish_reason.empty() == turn_->request.fields.stream) {
        WriteLegacyLogprobs(json, *turn_->model.tokenizer, delta.logprobs, turn_->request.logprobs > 0);
      } else {
        json.Null();
      }
    }
    json.Key("finish_reason");
    if (finish_reason.empty()) {
      json.Null();
    } else {
      json.String(finish_reason);
    }
    if (turn_->request.fields.return_token_ids) {
      const size_t index = turn_->request.fields.stream ? number : 0;
      if (!turn_->request.fields.stream || prompt_ids_sent_[index] == 0) {
        const size_t prompt = number / static_cast<size_t>(turn_->request.fields.n);
        WriteIds(json, "prompt_token_ids", turn_->request.prompts[prompt].tokens);
      }
      if (turn_->request.fields.stream) prompt_ids_sent_[index] = 1;
      WriteIds(json, "token_ids", delta.token_ids);
    }
    json.EndObject();
  }

  void WriteChunk(size_t number, const CompletionDelta& delta, std::string_view finish_reason, const Usage& so_far) {
    JsonWriter json;
    BeginObject(json);
    WriteChoice(json, number, delta, finish_reason);
    json.EndArray();
    if (turn_->request.fields.include_usage) {
      json.Key("usage");
      if (turn_->request.fields.continuous_usage) {
        WriteUsage(json, so_far, true);
      } else {
        json.Null();
      }
    }
    json.EndObject();
    exchange_->WriteData(json.text());
  }

  // Chat-shaped streams begin with each choice's role, by itself.
  void WriteRole(size_t index) {
    JsonWriter json;
    BeginObject(json);
    json.BeginObject().Key("index").Int(static_cast<int64_t>(index));
    json.Key("delta").BeginObject().Key("role").String("assistant").Key("content").String("").EndObject();
    json.Key("finish_reason").Null().EndObject().EndArray();
    if (turn_->request.fields.include_usage) json.Key("usage").Null();
    json.EndObject();
    exchange_->WriteData(json.text());
  }

  void WriteUsageChunk(const Usage& usage) {
    JsonWriter json;
    BeginObject(json);
    json.EndArray().Key("usage");
    WriteUsage(json, usage, true);
    json.EndObject();
    exchange_->WriteData(json.text());
  }

  const std::string id_ = "cmpl-" + NewUuid();
  const int64_t created_ = UnixSecondsNow();
  Exchange* exchange_ = nullptr;
  const CompletionTurn* turn_ = nullptr;
  std::vector<char> prompt_ids_sent_;
};

}  // namespace

std::unique_ptr<CompletionWriter> NewOpenAiCompletionWriter() { return std::make_unique<OpenAiCompletionWriter>(); }

}  // namespace quern::api
