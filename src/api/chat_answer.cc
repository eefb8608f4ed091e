#include "api/chat_answer.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/answer.h"
#include "api/chat_choice.h"
#include "api/ids.h"
#include "api/json_writer.h"
#include "api/logprobs.h"

namespace quern::api {

namespace {

struct ChatPrompt {
  std::vector<engine::TokenId> tokens;
  std::string turn_prefix;  // text that already belongs to the turn that is generated
};

// The beginning of a call, which the model then has to go on with.
std::string CallOpener(const ChatRequest& request, chat::ToolCallSyntax syntax) {
  const bool named = request.tool_choice == ToolChoice::kNamed;
  if (!named && request.tool_choice != ToolChoice::kRequired) return {};
  if (syntax == chat::ToolCallSyntax::kHermesJson) {
    return named ? fmt::format("<tool_call>\n{{\"name\": \"{}\", \"arguments\": ", request.forced_tool)
                 : "<tool_call>\n{\"name\": \"";
  }
  return named ? fmt::format("<tool_call>\n<function={}>\n", request.forced_tool) : "<tool_call>\n<function=";
}

ApiResult<ChatPrompt> BuildPrompt(const ChatRequest& request, const ServedModel& model) {
  size_t n_bytes = 0;
  for (const chat::Message& message : request.messages) n_bytes += message.content.size();
  QUERN_API_TRY(CheckTextFits(model, n_bytes, "messages"));
  chat::RenderOptions options;
  options.add_generation_prompt = request.add_generation_prompt;
  options.continue_final_message = request.continue_final_message;
  options.extra = request.template_kwargs;
  Result<chat::RenderedPrompt> rendered = model.chat_format->Render(request.messages, request.tools, options);
  if (!rendered) {
    ApiError error = FromStatus(rendered.error());
    // Only the request decides whether a template fails or runs out of its budget: the client's to mend.
    error.http_status = 400;
    error.type = "invalid_request_error";
    error.code = "invalid_value";
    error.retry_after_s = 0;
    error.param = "messages";
    return Fail(std::move(error));
  }
  ChatPrompt prompt;
  if (request.continue_final_message && !request.tools.empty()) {
    const std::string& text = request.messages.back().content;
    if (text.find("<tool_call>") != std::string::npos || text.find("<function=") != std::string::npos) {
      prompt.turn_prefix = text;
    }
  }
  const std::string opener = CallOpener(request, model.chat_format->tool_call_syntax());
  rendered->text += opener;
  prompt.turn_prefix += opener;
  tokenizer::EncodeOptions encode;
  encode.literal = rendered->literal;
  prompt.tokens = model.tokenizer->Encode(rendered->text, encode);
  if (prompt.tokens.empty()) {
    return Fail(BadField("messages", "The messages resulted in an empty prompt.", "invalid_value"));
  }
  QUERN_API_TRY(CheckPromptFits(model, prompt.tokens.size(), true, "messages"));
  return prompt;
}

// A finished tool call of a whole answer.
struct WholeCall {
  std::string id;
  std::string name;
  std::string arguments;
};

class ChatAnswer final : public Answer {
 public:
  ChatAnswer(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, ChatRequest request)
      : Answer(exchange, std::move(model), "chat.completions", request.fields.stream),
        request_(std::move(request)),
        id_("chatcmpl-" + NewUuid()),
        created_(UnixSecondsNow()),
        compatible_(exchange->prefix() == RoutePrefix::kCompatibleMode) {}

  void Run() {
    ApiResult<ChatPrompt> prompt = BuildPrompt(request_, model());
    if (!prompt) {
      exchange().SendError(prompt.error());
      return;
    }
    usage_.n_prompt = static_cast<int>(prompt->tokens.size());
    if (request_.fields.return_token_ids) prompt_ids_ = prompt->tokens;
    std::vector<engine::GenerateRequest> requests;
    const auto n = static_cast<size_t>(request_.fields.n);
    for (size_t i = 0; i < n; ++i) {
      // The last one may take the prompt along.
      std::vector<engine::TokenId> tokens = i + 1 < n ? prompt->tokens : std::move(prompt->tokens);
      requests.push_back(MakeGenerateRequest(request_.fields, model(), std::move(tokens), static_cast<int>(i), -1));
      if (request_.logprobs) requests.back().n_logprobs = request_.top_logprobs;
      if (request_.tool_choice == ToolChoice::kNone && !request_.tools.empty()) BanCalls(requests.back());
      choices_.push_back(std::make_unique<ChatChoice>(request_, model(), prompt->turn_prefix));
    }
    written_finish_.assign(n, 0);
    prompt_ids_sent_.assign(n, 0);
    n_open_ = n;
    Start(std::move(requests));
  }

 private:
  // tool_choice none: the template still shows the tools, so that earlier calls read right, but no call can begin.
  void BanCalls(engine::GenerateRequest& request) const {
    const engine::TokenId opener = model().tokenizer->AddedTokenId("<tool_call>");
    if (opener >= 0 && opener < model().backend->info().vocab_size) {
      request.sampling.logit_bias.emplace_back(opener, -100.0F);
    }
  }

  void OnToken(size_t index, const engine::TokenEvent& event) override {
    if (choices_[index]->Push(event)) CancelGeneration(index);
  }

  void OnPromptLogprobs(size_t, const engine::PromptLogprobsEvent&) override {}

  void OnFinished(size_t index, const engine::FinishedEvent& event) override {
    ChatChoice& choice = *choices_[index];
    choice.Finish(event.reason == engine::FinishReason::kLength);
    usage_.n_cached = std::max(usage_.n_cached, event.n_cached);
    if (stream()) {
      WriteDelta(index);
      WriteFinish(index);
    }
    if (--n_open_ > 0) return;
    usage_.n_generated = 0;
    for (const auto& each : choices_) usage_.n_generated += each->n_generated();
    if (stream()) {
      if (request_.fields.include_usage) WriteUsageChunk();
      exchange().FinishSse();
    } else {
      exchange().SendJson(200, WholeJson());
    }
    Done(usage_);
  }

  // ---- stream ----

  void OnAdmitted() override {
    for (size_t i = 0; i < choices_.size(); ++i) {
      JsonWriter json;
      BeginChunk(json, i);
      json.Key("delta").BeginObject().Key("role").String("assistant").Key("content").String("").EndObject();
      EndChunk(json, "", i);
      WriteDelta(i);
    }
  }

  void WritePending() override {
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (written_finish_[i] == 0) WriteDelta(i);
    }
  }

  void WriteKeepAlive() override {
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (written_finish_[i] != 0) continue;
      // A comment would not reset the idle timers of some clients; an empty delta does.
      JsonWriter json;
      BeginChunk(json, i);
      json.Key("delta").BeginObject().Key("content").String("").EndObject();
      EndChunk(json, "", i);
      return;
    }
  }

  void BeginChunk(JsonWriter& json, size_t index) {
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String("chat.completion.chunk");
    json.Key("created").Int(created_);
    json.Key("model").String(request_.fields.model_name);
    json.Key("system_fingerprint").Null();
    json.Key("choices").BeginArray();
    json.BeginObject().Key("index").Int(static_cast<int64_t>(index));
  }

  void EndChunk(JsonWriter& json, std::string_view finish_reason, size_t index) {
    if (!logprobs_written_) json.Key("logprobs").Null();
    logprobs_written_ = false;
    json.Key("finish_reason");
    if (finish_reason.empty()) {
      json.Null();
    } else {
      json.String(finish_reason);
      WriteWarnings(json, index);
    }
    json.EndObject().EndArray();
    if (request_.fields.include_usage) {
      json.Key("usage");
      if (request_.fields.continuous_usage) {
        Usage now = usage_;
        now.n_generated = choices_[index]->n_generated();
        WriteUsage(json, now, true);
      } else {
        json.Null();
      }
    }
    json.EndObject();
    exchange().WriteData(json.text());
  }

  void WriteWarnings(JsonWriter& json, size_t index) {
    const auto& warnings = choices_[index]->warnings();
    if (warnings.empty()) return;
    json.Key("warnings").BeginArray();
    for (const std::string& warning : warnings) json.SanitizedString(warning);
    json.EndArray();
  }

  void WriteIds(JsonWriter& json, std::string_view key, const std::vector<engine::TokenId>& ids) {
    json.Key(key).BeginArray();
    for (const engine::TokenId id : ids) json.Int(id);
    json.EndArray();
  }

  // Chunks for what came since the last time: text first, then each piece of a call by itself.
  void WriteDelta(size_t index) {
    ChatDelta delta = choices_[index]->Take();
    if (!delta.content.empty() || !delta.logprobs.empty() || !delta.token_ids.empty()) {
      JsonWriter json;
      BeginChunk(json, index);
      json.Key("delta").BeginObject().Key("content").String(delta.content).EndObject();
      if (!delta.logprobs.empty()) {
        json.Key("logprobs");
        WriteChatLogprobs(json, *model().tokenizer, delta.logprobs);
        logprobs_written_ = true;
      }
      if (request_.fields.return_token_ids) {
        if (prompt_ids_sent_[index] == 0) WriteIds(json, "prompt_token_ids", prompt_ids_);
        prompt_ids_sent_[index] = 1;
        WriteIds(json, "token_ids", delta.token_ids);
      }
      EndChunk(json, "", index);
    }
    for (const ToolDelta& tool : delta.tools) WriteToolDelta(index, tool);
  }

  void WriteToolDelta(size_t index, const ToolDelta& tool) {
    // Openers carry no arguments and fragments carry nothing else: clients that concatenate are safe with that.
    if (tool.begin) {
      JsonWriter json;
      BeginChunk(json, index);
      json.Key("delta").BeginObject();
      if (request_.legacy_functions) {
        json.Key("function_call").BeginObject().Key("name").String(tool.name);
        json.Key("arguments").String("").EndObject();
      } else {
        json.Key("tool_calls").BeginArray().BeginObject().Key("index").Int(tool.index).Key("id").String(tool.id);
        json.Key("type").String("function").Key("function").BeginObject().Key("name").SanitizedString(tool.name);
        json.Key("arguments").String("").EndObject().EndObject().EndArray();
      }
      json.EndObject();
      EndChunk(json, "", index);
    }
    if (tool.arguments.empty()) return;
    JsonWriter json;
    BeginChunk(json, index);
    json.Key("delta").BeginObject();
    if (request_.legacy_functions) {
      json.Key("function_call").BeginObject().Key("arguments").String(tool.arguments).EndObject();
    } else {
      json.Key("tool_calls").BeginArray().BeginObject().Key("index").Int(tool.index);
      json.Key("function").BeginObject().Key("arguments").String(tool.arguments).EndObject().EndObject().EndArray();
    }
    json.EndObject();
    EndChunk(json, "", index);
  }

  void WriteFinish(size_t index) {
    written_finish_[index] = 1;
    JsonWriter json;
    BeginChunk(json, index);
    json.Key("delta").BeginObject().EndObject();
    EndChunk(json, choices_[index]->finish_reason(), index);
  }

  void WriteUsageChunk() {
    JsonWriter json;
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String("chat.completion.chunk");
    json.Key("created").Int(created_);
    json.Key("model").String(request_.fields.model_name);
    json.Key("system_fingerprint").Null();
    json.Key("choices").BeginArray().EndArray();
    json.Key("usage");
    WriteUsage(json, usage_, true);
    json.EndObject();
    exchange().WriteData(json.text());
  }

  // ---- whole ----

  std::string WholeJson() {
    JsonWriter json;
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String("chat.completion");
    json.Key("created").Int(created_);
    json.Key("model").String(request_.fields.model_name);
    json.Key("system_fingerprint").Null();
    json.Key("service_tier");
    if (compatible_) {
      json.Null();
    } else {
      json.String("default");
    }
    json.Key("choices").BeginArray();
    for (size_t i = 0; i < choices_.size(); ++i) WriteWholeChoice(json, i);
    json.EndArray();
    json.Key("usage");
    WriteUsage(json, usage_, true);
    json.EndObject();
    return json.Take();
  }

  static std::vector<WholeCall> JoinCalls(const std::vector<ToolDelta>& deltas) {
    std::vector<WholeCall> calls;
    for (const ToolDelta& delta : deltas) {
      if (delta.begin) calls.push_back({delta.id, delta.name, ""});
      if (!calls.empty()) calls.back().arguments += delta.arguments;
    }
    return calls;
  }

  void WriteWholeChoice(JsonWriter& json, size_t index) {
    ChatChoice& choice = *choices_[index];
    const ChatDelta all = choice.Take();
    const std::vector<WholeCall> calls = JoinCalls(all.tools);
    json.BeginObject().Key("index").Int(static_cast<int64_t>(index));
    json.Key("message").BeginObject().Key("role").String("assistant").Key("content");
    if (all.content.empty() && !calls.empty() && !compatible_) {
      json.Null();
    } else {
      json.String(all.content);
    }
    json.Key("refusal").Null();
    if (request_.legacy_functions && !calls.empty()) {
      json.Key("function_call").BeginObject().Key("name").SanitizedString(calls[0].name);
      json.Key("arguments").String(calls[0].arguments).EndObject();
    } else if (!calls.empty()) {
      json.Key("tool_calls").BeginArray();
      for (size_t i = 0; i < calls.size(); ++i) {
        json.BeginObject().Key("index").Int(static_cast<int64_t>(i)).Key("id").String(calls[i].id);
        json.Key("type").String("function").Key("function").BeginObject();
        json.Key("name").SanitizedString(calls[i].name).Key("arguments").String(calls[i].arguments);
        json.EndObject().EndObject();
      }
      json.EndArray();
    }
    json.EndObject();
    json.Key("logprobs");
    if (request_.logprobs) {
      WriteChatLogprobs(json, *model().tokenizer, all.logprobs);
    } else {
      json.Null();
    }
    json.Key("finish_reason").String(choice.finish_reason());
    WriteWarnings(json, index);
    if (request_.fields.return_token_ids) {
      WriteIds(json, "prompt_token_ids", prompt_ids_);
      WriteIds(json, "token_ids", all.token_ids);
    }
    json.EndObject();
  }

  const ChatRequest request_;
  const std::string id_;
  const int64_t created_;
  const bool compatible_;
  std::vector<std::unique_ptr<ChatChoice>> choices_;
  std::vector<char> written_finish_;
  std::vector<char> prompt_ids_sent_;
  std::vector<engine::TokenId> prompt_ids_;
  size_t n_open_ = 0;
  Usage usage_;
  bool logprobs_written_ = false;
};

}  // namespace

void AnswerChat(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, ChatRequest request) {
  std::make_shared<ChatAnswer>(std::move(exchange), std::move(model), std::move(request))->Run();
}

}  // namespace quern::api
