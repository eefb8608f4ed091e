#include "api/openai_chat_writer.h"

#include "api/ids.h"
#include "api/json_writer.h"
#include "api/logprobs.h"

namespace quern::api {

namespace {

void WriteIds(JsonWriter& json, std::string_view key, const std::vector<engine::TokenId>& ids) {
  json.Key(key).BeginArray();
  for (const engine::TokenId id : ids) json.Int(id);
  json.EndArray();
}

class OpenAiChatWriter final : public ChatWriter {
 public:
  void Attach(Exchange& exchange, const ChatTurn& turn) override {
    exchange_ = &exchange;
    turn_ = &turn;
    compatible_ = exchange.prefix() == RoutePrefix::kCompatibleMode;
    prompt_ids_sent_.assign(static_cast<size_t>(turn.request.fields.n), 0);
  }

  // ---- stream ----

  void Begin() override {
    exchange_->StartSse();
    for (size_t i = 0; i < prompt_ids_sent_.size(); ++i) {
      JsonWriter json;
      BeginChunk(json, i);
      json.Key("delta").BeginObject().Key("role").String("assistant").Key("content").String("").EndObject();
      EndChunk(json, {.n_prompt = turn_->n_prompt});
    }
  }

  // Text first, then each piece of a call by itself.
  void Delta(size_t choice, const ChatDelta& delta, const Usage& so_far) override {
    if (!delta.content.empty() || !delta.logprobs.empty() || !delta.token_ids.empty()) {
      WriteTextDelta(choice, delta, so_far);
    }
    for (const ToolDelta& tool : delta.tools) WriteToolDelta(choice, tool, so_far);
  }

  void KeepAlive(size_t choice, const Usage& so_far) override {
    // A comment would not reset the idle timers of some clients; an empty delta does.
    JsonWriter json;
    BeginChunk(json, choice);
    json.Key("delta").BeginObject().Key("content").String("").EndObject();
    EndChunk(json, so_far);
  }

  void EndChoice(size_t choice, const ChoiceEnd& end, const Usage& so_far) override {
    JsonWriter json;
    BeginChunk(json, choice);
    json.Key("delta").BeginObject().EndObject();
    EndChunk(json, so_far, &end);
  }

  void End(const Usage& usage) override {
    if (turn_->request.fields.include_usage) WriteUsageChunk(usage);
    exchange_->FinishSse();
  }

  void Fail(const ApiError& error) override { exchange_->FailSse(error); }

  // ---- whole ----

  std::string Whole(std::span<const WholeChoice> choices, const Usage& usage) override {
    JsonWriter json;
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String("chat.completion");
    WriteHead(json);
    json.Key("service_tier");
    if (compatible_) {
      json.Null();
    } else {
      json.String("default");
    }
    json.Key("choices").BeginArray();
    for (size_t i = 0; i < choices.size(); ++i) WriteWholeChoice(json, i, choices[i]);
    json.EndArray();
    json.Key("usage");
    WriteUsage(json, usage, true);
    json.EndObject();
    return json.Take();
  }

 private:
  void WriteHead(JsonWriter& json) const {
    json.Key("created").Int(created_);
    json.Key("model").String(turn_->request.fields.model_name);
    json.Key("system_fingerprint").Null();
  }

  void BeginChunk(JsonWriter& json, size_t choice) const {
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String("chat.completion.chunk");
    WriteHead(json);
    json.Key("choices").BeginArray();
    json.BeginObject().Key("index").Int(static_cast<int64_t>(choice));
  }

  // end: set for the last chunk of a choice.
  void EndChunk(JsonWriter& json, const Usage& so_far, const ChoiceEnd* end = nullptr, bool has_logprobs = false) {
    if (!has_logprobs) json.Key("logprobs").Null();
    json.Key("finish_reason");
    if (end == nullptr) {
      json.Null();
    } else {
      json.String(end->finish_reason);
      WriteWarnings(json, end->warnings);
    }
    json.EndObject().EndArray();
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

  void WriteTextDelta(size_t choice, const ChatDelta& delta, const Usage& so_far) {
    JsonWriter json;
    BeginChunk(json, choice);
    json.Key("delta").BeginObject().Key("content").String(delta.content).EndObject();
    if (!delta.logprobs.empty()) {
      json.Key("logprobs");
      WriteChatLogprobs(json, *turn_->model.tokenizer, delta.logprobs);
    }
    if (turn_->request.fields.return_token_ids) {
      if (prompt_ids_sent_[choice] == 0) WriteIds(json, "prompt_token_ids", turn_->prompt_ids);
      prompt_ids_sent_[choice] = 1;
      WriteIds(json, "token_ids", delta.token_ids);
    }
    EndChunk(json, so_far, nullptr, !delta.logprobs.empty());
  }

  void WriteToolDelta(size_t choice, const ToolDelta& tool, const Usage& so_far) {
    // Openers carry no arguments and fragments carry nothing else: clients that concatenate are safe with that.
    if (tool.begin) {
      JsonWriter json;
      BeginChunk(json, choice);
      json.Key("delta").BeginObject();
      if (turn_->request.legacy_functions) {
        json.Key("function_call").BeginObject().Key("name").String(tool.name);
        json.Key("arguments").String("").EndObject();
      } else {
        json.Key("tool_calls").BeginArray().BeginObject().Key("index").Int(tool.index).Key("id").String(tool.id);
        json.Key("type").String("function").Key("function").BeginObject().Key("name").SanitizedString(tool.name);
        json.Key("arguments").String("").EndObject().EndObject().EndArray();
      }
      json.EndObject();
      EndChunk(json, so_far);
    }
    if (tool.arguments.empty()) return;
    JsonWriter json;
    BeginChunk(json, choice);
    json.Key("delta").BeginObject();
    if (turn_->request.legacy_functions) {
      json.Key("function_call").BeginObject().Key("arguments").String(tool.arguments).EndObject();
    } else {
      json.Key("tool_calls").BeginArray().BeginObject().Key("index").Int(tool.index);
      json.Key("function").BeginObject().Key("arguments").String(tool.arguments).EndObject().EndObject().EndArray();
    }
    json.EndObject();
    EndChunk(json, so_far);
  }

  void WriteUsageChunk(const Usage& usage) {
    JsonWriter json;
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String("chat.completion.chunk");
    json.Key("created").Int(created_);
    json.Key("model").String(turn_->request.fields.model_name);
    json.Key("system_fingerprint").Null();
    json.Key("choices").BeginArray().EndArray();
    json.Key("usage");
    WriteUsage(json, usage, true);
    json.EndObject();
    exchange_->WriteData(json.text());
  }

  void WriteWholeChoice(JsonWriter& json, size_t index, const WholeChoice& choice) const {
    json.BeginObject().Key("index").Int(static_cast<int64_t>(index));
    json.Key("message").BeginObject().Key("role").String("assistant").Key("content");
    if (choice.content.empty() && !choice.calls.empty() && !compatible_) {
      json.Null();
    } else {
      json.String(choice.content);
    }
    json.Key("refusal").Null();
    if (turn_->request.legacy_functions && !choice.calls.empty()) {
      json.Key("function_call").BeginObject().Key("name").SanitizedString(choice.calls[0].name);
      json.Key("arguments").String(choice.calls[0].arguments).EndObject();
    } else if (!choice.calls.empty()) {
      WriteCalls(json, choice.calls);
    }
    json.EndObject();
    json.Key("logprobs");
    if (turn_->request.logprobs) {
      WriteChatLogprobs(json, *turn_->model.tokenizer, choice.logprobs);
    } else {
      json.Null();
    }
    json.Key("finish_reason").String(choice.end.finish_reason);
    WriteWarnings(json, choice.end.warnings);
    if (turn_->request.fields.return_token_ids) {
      WriteIds(json, "prompt_token_ids", turn_->prompt_ids);
      WriteIds(json, "token_ids", choice.token_ids);
    }
    json.EndObject();
  }

  static void WriteCalls(JsonWriter& json, const std::vector<WholeCall>& calls) {
    json.Key("tool_calls").BeginArray();
    for (size_t i = 0; i < calls.size(); ++i) {
      json.BeginObject().Key("index").Int(static_cast<int64_t>(i)).Key("id").String(calls[i].id);
      json.Key("type").String("function").Key("function").BeginObject();
      json.Key("name").SanitizedString(calls[i].name).Key("arguments").String(calls[i].arguments);
      json.EndObject().EndObject();
    }
    json.EndArray();
  }

  const std::string id_ = "chatcmpl-" + NewUuid();
  const int64_t created_ = UnixSecondsNow();
  Exchange* exchange_ = nullptr;
  const ChatTurn* turn_ = nullptr;
  bool compatible_ = false;
  std::vector<char> prompt_ids_sent_;
};

}  // namespace

std::unique_ptr<ChatWriter> NewOpenAiChatWriter() { return std::make_unique<OpenAiChatWriter>(); }

}  // namespace quern::api
