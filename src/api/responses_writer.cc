#include "api/responses_writer.h"

#include <fmt/format.h>

#include <utility>

#include "api/ids.h"
#include "api/json_writer.h"
#include "api/logprobs.h"
#include "api/message_parts.h"

namespace quern::api {

namespace {

// Codes that Codex acts upon; anything else it tries again.
std::string_view FailureCode(const ApiError& error) {
  if (error.code == "context_length_exceeded" || error.code == "insufficient_quota") return error.code;
  return error.retry_after_s > 0 ? "rate_limit_exceeded" : "server_error";
}

std::string FailureMessage(const ApiError& error) {
  if (error.retry_after_s == 0) return error.message;
  return fmt::format("{}. Please try again in {}s.", error.message, error.retry_after_s);
}

// The text for a custom tool: the only parameter that it was declared with. Arguments in another form go as they are.
std::string CustomInput(const std::string& arguments) {
  const boost::json::value value = ParseCallArguments(arguments);
  const boost::json::value* input = value.is_object() ? value.as_object().if_contains("input") : nullptr;
  return input != nullptr && input->is_string() ? std::string(input->get_string()) : arguments;
}

void WriteResponseUsage(JsonWriter& json, const Usage& usage) {
  json.BeginObject();
  json.Key("input_tokens").Int(usage.n_prompt);
  json.Key("input_tokens_details").BeginObject().Key("cached_tokens").Int(usage.n_cached).EndObject();
  json.Key("output_tokens").Int(usage.n_generated);
  json.Key("output_tokens_details").BeginObject().Key("reasoning_tokens").Int(0).EndObject();
  json.Key("total_tokens").Int(int64_t{usage.n_prompt} + usage.n_generated).EndObject();
}

// One item of the output while it grows.
struct Item {
  enum class Kind { kMessage, kFunctionCall, kCustomCall };
  Kind kind = Kind::kMessage;
  std::string id;
  std::string call_id;
  std::string name;
  std::string text;  // of the message, or the arguments so far
  std::vector<engine::TokenEvent> logprobs;
};

class ResponsesWriter final : public ChatWriter {
 public:
  ResponsesWriter(ResponseFrame frame, std::shared_ptr<KeptItems> store)
      : frame_(std::move(frame)), store_(std::move(store)) {}

  void Attach(Exchange& exchange, const ChatTurn& turn) override {
    exchange_ = &exchange;
    turn_ = &turn;
  }

  // ---- stream ----

  void Begin() override {
    streaming_ = true;
    exchange_->StartSse();
    SendResponse("response.created", {.status = "in_progress"});
    SendResponse("response.in_progress", {.status = "in_progress"});
  }

  void Delta(size_t, const ChatDelta& delta, const Usage&) override {
    if (!delta.content.empty() || !delta.logprobs.empty()) AddText(delta.content, delta.logprobs);
    for (const ToolDelta& tool : delta.tools) {
      if (tool.begin) BeginCall(tool.id, tool.name);
      if (!tool.arguments.empty()) AddArguments(tool.arguments);
    }
  }

  // Comments would not reset the idle timer of Codex; this event, sent again, does.
  void KeepAlive(size_t, const Usage&) override { SendResponse("response.in_progress", {.status = "in_progress"}); }

  void EndChoice(size_t, const ChoiceEnd& end, const Usage&) override { Close(end); }

  void End(const Usage& usage) override {
    const Outcome outcome = OutcomeOf(usage);
    Keep(outcome);
    SendResponse(outcome.status == "completed" ? "response.completed" : "response.incomplete", outcome);
    exchange_->EndStream(200);
  }

  void Fail(const ApiError& error) override {
    SendResponse("response.failed", {.status = "failed", .error = &error});
    exchange_->EndStream(error.http_status);
  }

  // ---- whole ----

  std::string Whole(std::span<const WholeChoice> choices, const Usage& usage) override {
    const WholeChoice& choice = choices.front();
    if (!choice.content.empty()) AddText(choice.content, choice.logprobs);
    for (const WholeCall& call : choice.calls) {
      BeginCall(call.id, call.name);
      AddArguments(call.arguments);
    }
    Close(choice.end);
    const Outcome outcome = OutcomeOf(usage);
    Keep(outcome);
    return Response(outcome);
  }

 private:
  // How a response stands, for the object that tells of it.
  struct Outcome {
    std::string_view status;
    const ApiError* error = nullptr;
    bool by_length = false;
    const Usage* usage = nullptr;
  };

  Outcome OutcomeOf(const Usage& usage) const {
    const bool by_length = end_.finish_reason == "length";
    return {.status = by_length ? "incomplete" : "completed", .by_length = by_length, .usage = &usage};
  }

  std::string Response(const Outcome& outcome) const {
    JsonWriter json;
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String("response");
    json.Key("created_at").Int(created_);
    json.Key("status").String(outcome.status);
    json.Key("error");
    if (outcome.error == nullptr) {
      json.Null();
    } else {
      json.BeginObject().Key("code").String(FailureCode(*outcome.error));
      json.Key("message").SanitizedString(FailureMessage(*outcome.error)).EndObject();
    }
    json.Key("incomplete_details");
    if (outcome.by_length) {
      json.BeginObject().Key("reason").String("max_output_tokens").EndObject();
    } else {
      json.Null();
    }
    json.Key("model").String(turn_->request.fields.model_name);
    json.Key("output").Raw(Output());
    json.Key("usage");
    if (outcome.usage == nullptr) {
      json.Null();
    } else {
      WriteResponseUsage(json, *outcome.usage);
    }
    json.Raw(frame_.echoed);
    WriteWarnings(json, end_.warnings);
    json.EndObject();
    return json.Take();
  }

  std::string Output() const {
    JsonWriter json;
    json.BeginArray();
    for (const std::string& item : done_) json.Raw(item);
    json.EndArray();
    return json.Take();
  }

  void Keep(const Outcome& outcome) {
    if (!frame_.store) return;
    KeptItem item{.object = Response(outcome),
                  .input = std::move(frame_.input),
                  .output = Output(),
                  .part_ids = std::move(item_ids_),
                  .model = turn_->request.fields.model_name};
    const Result<void> kept = store_->Put(ItemKind::kResponse, exchange_->owner(), id_, item);
    if (!kept) exchange_->metrics().CountKeepFailure(kept.error());
  }

  // ---- items ----

  void Open(Item item) {
    CloseItem("completed");
    item_ = std::move(item);
    is_open_ = true;
    item_ids_.push_back(item_.id);
    SendItem("response.output_item.added", "in_progress");
  }

  void AddText(std::string_view text, const std::vector<engine::TokenEvent>& logprobs) {
    if (!is_open_ || item_.kind != Item::Kind::kMessage) {
      Open({.kind = Item::Kind::kMessage, .id = "msg_" + NewHexId()});
      if (streaming_) {
        JsonWriter json = PartEvent("response.content_part.added");
        json.Key("part");
        WritePart(json);
        Send(json);
      }
    }
    item_.text += text;
    item_.logprobs.insert(item_.logprobs.end(), logprobs.begin(), logprobs.end());
    if (!streaming_) return;
    JsonWriter json = PartEvent("response.output_text.delta");
    json.Key("delta").String(text).Key("logprobs");
    WriteLogprobList(json, *turn_->model.tokenizer, logprobs);
    Send(json);
  }

  void BeginCall(const std::string& call_id, const std::string& name) {
    const bool custom = frame_.custom_tools.contains(name);
    Open({.kind = custom ? Item::Kind::kCustomCall : Item::Kind::kFunctionCall,
          .id = (custom ? "ctc_" : "fc_") + NewHexId(),
          .call_id = call_id,
          .name = name});
  }

  void AddArguments(std::string_view fragment) {
    item_.text += fragment;
    // The input of a custom tool is inside the arguments' JSON: it is known when they are complete.
    if (!streaming_ || item_.kind != Item::Kind::kFunctionCall) return;
    JsonWriter json = ItemEvent("response.function_call_arguments.delta");
    json.Key("delta").String(fragment);
    Send(json);
  }

  void CloseItem(std::string_view status) {
    if (!is_open_) return;
    if (item_.kind == Item::Kind::kCustomCall) item_.text = CustomInput(item_.text);
    if (streaming_) SendItemEnd();
    SendItem("response.output_item.done", status);
    done_.push_back(ItemJson(status));
    is_open_ = false;
  }

  // An answer without a word is a message without a word: clients do not expect none at all.
  void Close(const ChoiceEnd& end) {
    end_ = end;
    if (!is_open_ && done_.empty()) AddText("", {});
    CloseItem(end.finish_reason == "length" ? "incomplete" : "completed");
  }

  void SendItemEnd() {
    if (item_.kind == Item::Kind::kMessage) {
      JsonWriter text = PartEvent("response.output_text.done");
      text.Key("text").String(item_.text).Key("logprobs");
      WriteLogprobList(text, *turn_->model.tokenizer, item_.logprobs);
      Send(text);
      JsonWriter part = PartEvent("response.content_part.done");
      part.Key("part");
      WritePart(part);
      Send(part);
      return;
    }
    if (item_.kind == Item::Kind::kFunctionCall) {
      JsonWriter json = ItemEvent("response.function_call_arguments.done");
      json.Key("name").SanitizedString(item_.name).Key("arguments").String(item_.text);
      Send(json);
      return;
    }
    JsonWriter delta = ItemEvent("response.custom_tool_call_input.delta");
    delta.Key("delta").String(item_.text);
    Send(delta);
    JsonWriter done = ItemEvent("response.custom_tool_call_input.done");
    done.Key("input").String(item_.text);
    Send(done);
  }

  void WritePart(JsonWriter& json) const {
    json.BeginObject().Key("type").String("output_text").Key("text").String(item_.text);
    json.Key("annotations").BeginArray().EndArray().Key("logprobs");
    WriteLogprobList(json, *turn_->model.tokenizer, item_.logprobs);
    json.EndObject();
  }

  std::string ItemJson(std::string_view status) const {
    const bool begun = status == "in_progress";
    JsonWriter json;
    json.BeginObject();
    if (item_.kind == Item::Kind::kMessage) {
      json.Key("type").String("message").Key("id").String(item_.id).Key("role").String("assistant");
      json.Key("status").String(status).Key("content").BeginArray();
      if (!begun) WritePart(json);
      json.EndArray();
    } else {
      const bool custom = item_.kind == Item::Kind::kCustomCall;
      json.Key("type").String(custom ? "custom_tool_call" : "function_call").Key("id").String(item_.id);
      json.Key("call_id").String(item_.call_id).Key("name").SanitizedString(item_.name);
      json.Key(custom ? "input" : "arguments").String(item_.text).Key("status").String(status);
    }
    json.EndObject();
    return json.Take();
  }

  // ---- events ----

  JsonWriter Event(std::string_view type) {
    event_ = type;
    JsonWriter json;
    json.BeginObject().Key("type").String(type).Key("sequence_number").Int(sequence_++);
    return json;
  }

  JsonWriter ItemEvent(std::string_view type) {
    JsonWriter json = Event(type);
    json.Key("item_id").String(item_.id).Key("output_index").Int(static_cast<int64_t>(done_.size()));
    return json;
  }

  JsonWriter PartEvent(std::string_view type) {
    JsonWriter json = ItemEvent(type);
    json.Key("content_index").Int(0);
    return json;
  }

  void Send(JsonWriter& json) {
    json.EndObject();
    exchange_->WriteEvent(event_, json.text());
  }

  void SendItem(std::string_view type, std::string_view status) {
    if (!streaming_) return;
    JsonWriter json = Event(type);
    json.Key("output_index").Int(static_cast<int64_t>(done_.size())).Key("item").Raw(ItemJson(status));
    Send(json);
  }

  void SendResponse(std::string_view type, const Outcome& outcome) {
    JsonWriter json = Event(type);
    json.Key("response").Raw(Response(outcome));
    Send(json);
  }

  ResponseFrame frame_;
  const std::shared_ptr<KeptItems> store_;
  const std::string id_ = "resp_" + NewHexId();
  const int64_t created_ = UnixSecondsNow();
  Exchange* exchange_ = nullptr;
  const ChatTurn* turn_ = nullptr;
  bool streaming_ = false;
  int64_t sequence_ = 0;
  std::string_view event_;  // the one being written
  bool is_open_ = false;
  Item item_;                      // the open one; its index is done_.size()
  std::vector<std::string> done_;  // JSON
  std::vector<std::string> item_ids_;
  ChoiceEnd end_;
};

}  // namespace

std::unique_ptr<ChatWriter> NewResponsesWriter(ResponseFrame frame, std::shared_ptr<KeptItems> store) {
  return std::make_unique<ResponsesWriter>(std::move(frame), std::move(store));
}

}  // namespace quern::api
