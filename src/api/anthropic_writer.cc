#include "api/anthropic_writer.h"

#include "api/ids.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

// The parser's "call_..." with Anthropic's prefix.
std::string ToolUseId(std::string_view call_id) {
  if (call_id.starts_with("call_")) call_id.remove_prefix(5);
  return "toolu_" + std::string(call_id);
}

std::string_view StopReason(const ChoiceEnd& end, const ServedModel& model, const Usage& usage) {
  if (end.finish_reason == "tool_calls") return "tool_use";
  if (!end.stop_match.empty()) return "stop_sequence";
  if (end.finish_reason != "length") return "end_turn";
  return usage.n_prompt + usage.n_generated >= model.context_length() ? "model_context_window_exceeded" : "max_tokens";
}

void WriteStop(JsonWriter& json, const ChoiceEnd& end, const ServedModel& model, const Usage& usage) {
  json.Key("stop_reason").String(StopReason(end, model, usage));
  json.Key("stop_sequence");
  end.stop_match.empty() ? json.Null() : json.String(end.stop_match);
}

// Three disjoint parts of the prompt: read anew, written to a cache, read from it.
void WritePromptUsage(JsonWriter& json, const Usage& usage) {
  json.Key("input_tokens").Int(usage.n_prompt - usage.n_cached);
  json.Key("cache_creation_input_tokens").Int(0);
  json.Key("cache_read_input_tokens").Int(usage.n_cached);
}

void WriteMessageUsage(JsonWriter& json, const Usage& usage) {
  json.Key("usage").BeginObject();
  WritePromptUsage(json, usage);
  json.Key("output_tokens").Int(usage.n_generated);
  json.Key("cache_creation").BeginObject();
  json.Key("ephemeral_5m_input_tokens").Int(0).Key("ephemeral_1h_input_tokens").Int(0).EndObject();
  json.Key("service_tier").String("standard").EndObject();
}

class AnthropicWriter final : public ChatWriter {
 public:
  void Attach(Exchange& exchange, const ChatTurn& turn) override {
    exchange_ = &exchange;
    turn_ = &turn;
  }

  // ---- stream ----

  void Begin() override {
    exchange_->StartSse();
    JsonWriter json = Event("message_start");
    json.Key("message").BeginObject();
    WriteHead(json);
    json.Key("content").BeginArray().EndArray();
    json.Key("stop_reason").Null().Key("stop_sequence").Null();
    WriteMessageUsage(json, {.n_prompt = turn_->n_prompt, .n_generated = 1});
    json.EndObject();
    Send("message_start", json);
    Ping();
  }

  void Delta(size_t, const ChatDelta& delta, const Usage&) override {
    if (!delta.content.empty()) WriteText(delta.content);
    for (const ToolDelta& tool : delta.tools) {
      if (tool.begin) BeginToolUse(tool);
      if (!tool.arguments.empty()) WriteInput(tool.arguments);
    }
  }

  void KeepAlive(size_t, const Usage&) override { Ping(); }

  void EndChoice(size_t, const ChoiceEnd& end, const Usage&) override {
    CloseBlock();
    end_ = end;
  }

  void End(const Usage& usage) override {
    JsonWriter json = Event("message_delta");
    json.Key("delta").BeginObject();
    WriteStop(json, end_, turn_->model, usage);
    json.EndObject();
    json.Key("usage").BeginObject();
    WritePromptUsage(json, usage);
    json.Key("output_tokens").Int(usage.n_generated).EndObject();
    WriteWarnings(json, end_.warnings);
    Send("message_delta", json);
    JsonWriter stop = Event("message_stop");
    Send("message_stop", stop);
    exchange_->EndStream(200);
  }

  void Fail(const ApiError& error) override {
    exchange_->WriteEvent("error", exchange_->dialect().error_json(error, exchange_->request_id()));
    exchange_->EndStream(exchange_->dialect().error_status(error));
  }

  // ---- whole ----

  std::string Whole(std::span<const WholeChoice> choices, const Usage& usage) override {
    const WholeChoice& choice = choices.front();
    JsonWriter json;
    json.BeginObject();
    WriteHead(json);
    json.Key("content").BeginArray();
    if (!choice.content.empty()) {
      json.BeginObject().Key("type").String("text").Key("text").String(choice.content).EndObject();
    }
    for (const WholeCall& call : choice.calls) {
      json.BeginObject().Key("type").String("tool_use").Key("id").String(ToolUseId(call.id));
      json.Key("name").SanitizedString(call.name).Key("input").Raw(call.arguments).EndObject();
    }
    json.EndArray();
    WriteStop(json, choice.end, turn_->model, usage);
    WriteMessageUsage(json, usage);
    WriteWarnings(json, choice.end.warnings);
    json.EndObject();
    return json.Take();
  }

 private:
  enum class Block { kNone, kText, kToolUse };

  static JsonWriter Event(std::string_view type) {
    JsonWriter json;
    json.BeginObject().Key("type").String(type);
    return json;
  }

  JsonWriter BlockEvent(std::string_view type) const {
    JsonWriter json = Event(type);
    json.Key("index").Int(index_);
    return json;
  }

  void Send(std::string_view type, JsonWriter& json) {
    json.EndObject();
    exchange_->WriteEvent(type, json.text());
  }

  void Ping() {
    JsonWriter json = Event("ping");
    Send("ping", json);
  }

  void WriteHead(JsonWriter& json) const {
    json.Key("id").String(id_);
    json.Key("type").String("message");
    json.Key("role").String("assistant");
    json.Key("model").String(turn_->request.fields.model_name);
  }

  void CloseBlock() {
    if (block_ == Block::kNone) return;
    JsonWriter json = BlockEvent("content_block_stop");
    Send("content_block_stop", json);
    block_ = Block::kNone;
  }

  // One block is open at a time, and each has the next index.
  JsonWriter OpenBlock(Block block) {
    CloseBlock();
    ++index_;
    block_ = block;
    JsonWriter json = BlockEvent("content_block_start");
    json.Key("content_block").BeginObject();
    return json;
  }

  void WriteText(std::string_view text) {
    if (block_ != Block::kText) {
      JsonWriter open = OpenBlock(Block::kText);
      open.Key("type").String("text").Key("text").String("").EndObject();
      Send("content_block_start", open);
    }
    WriteDelta("text_delta", "text", text);
  }

  void BeginToolUse(const ToolDelta& tool) {
    JsonWriter open = OpenBlock(Block::kToolUse);
    open.Key("type").String("tool_use").Key("id").String(ToolUseId(tool.id));
    open.Key("name").SanitizedString(tool.name).Key("input").BeginObject().EndObject().EndObject();
    Send("content_block_start", open);
  }

  void WriteInput(std::string_view fragment) { WriteDelta("input_json_delta", "partial_json", fragment); }

  void WriteDelta(std::string_view type, std::string_view key, std::string_view text) {
    JsonWriter json = BlockEvent("content_block_delta");
    json.Key("delta").BeginObject().Key("type").String(type).Key(key).String(text).EndObject();
    Send("content_block_delta", json);
  }

  const std::string id_ = "msg_" + NewHexId();
  Exchange* exchange_ = nullptr;
  const ChatTurn* turn_ = nullptr;
  Block block_ = Block::kNone;
  int index_ = -1;
  ChoiceEnd end_;
};

}  // namespace

std::unique_ptr<ChatWriter> NewAnthropicWriter() { return std::make_unique<AnthropicWriter>(); }

}  // namespace quern::api
