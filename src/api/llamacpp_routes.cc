#include "api/llamacpp_routes.h"

#include <boost/json/array.hpp>

#include "api/chat_prompt.h"
#include "api/completion_answer.h"
#include "api/json_writer.h"
#include "api/llamacpp_completion.h"
#include "api/openai_chat.h"
#include "api/openai_routes.h"
#include "api/query.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/service_context.h"
#include "base/utf8.h"

namespace quern::api {

namespace json = boost::json;

namespace {

using ReadCompletion = ApiResult<CompletionRequest> (*)(const json::object&, const ServedModel&, const Limits&);

void CompleteWith(const Call& call, ReadCompletion read) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  std::shared_ptr<const ServedModel> model;
  ApiResult<CompletionRequest> request = [&]() -> ApiResult<CompletionRequest> {
    QUERN_API_ASSIGN(json::value document, ReadBody(exchange));
    QUERN_API_ASSIGN(model, ReadModelOrFirst(document.get_object(), *call.service.models));
    return read(document.get_object(), *model, exchange.limits());
  }();
  if (!request) return exchange.SendError(request.error());
  // The counts of these answers are those of their tokens.
  request->fields.return_token_ids = true;
  AnswerCompletion(call.exchange, std::move(model), std::move(*request), NewLlamaCppWriter());
}

void Completion(const Call& call) { CompleteWith(call, ReadLlamaCppCompletion); }
void Infill(const Call& call) { CompleteWith(call, ReadInfill); }

// A small answer made of the body and the model that it names.
using MakeJson = ApiResult<std::string> (*)(const json::object&, const ServedModel&, const Limits&);

void AnswerAtOnce(const Call& call, MakeJson make) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  const ApiResult<std::string> answer = [&]() -> ApiResult<std::string> {
    QUERN_API_ASSIGN(json::value document, ReadBody(exchange));
    QUERN_API_ASSIGN(const auto model, ReadModelOrFirst(document.get_object(), *call.service.models));
    return make(document.get_object(), *model, exchange.limits());
  }();
  if (!answer) return exchange.SendError(answer.error());
  exchange.SendJson(200, *answer);
}

void WriteIds(JsonWriter& out, const std::vector<engine::TokenId>& ids) {
  out.BeginArray();
  for (const engine::TokenId id : ids) out.Int(id);
  out.EndArray();
}

// A token's text, or its bytes where they are no whole characters.
void WritePiece(JsonWriter& out, const tokenizer::Tokenizer& tokenizer, engine::TokenId id) {
  const std::string bytes = tokenizer.DecodeBytes({{id}}, false);
  if (IsValidUtf8(bytes)) {
    out.String(bytes);
    return;
  }
  out.BeginArray();
  for (const unsigned char byte : bytes) out.Int(byte);
  out.EndArray();
}

// llama.cpp: {content, with_pieces, parse_special}. All of the text unless parse_special is false.
ApiResult<std::string> TokenizeContent(const ObjectReader& body, const ServedModel& model) {
  QUERN_API_ASSIGN(const std::string_view content, body.NeedString("content"));
  QUERN_API_ASSIGN(const auto with_pieces, body.Bool("with_pieces"));
  QUERN_API_ASSIGN(const auto parse_special, body.Bool("parse_special"));
  const tokenizer::ByteRange all{0, content.size()};
  tokenizer::EncodeOptions encode;
  if (!parse_special.value_or(true) && !content.empty()) encode.literal = {&all, 1};
  const std::vector<engine::TokenId> ids = model.tokenizer->Encode(content, encode);
  JsonWriter out;
  out.BeginObject().Key("tokens");
  if (!with_pieces.value_or(false)) {
    WriteIds(out, ids);
  } else {
    out.BeginArray();
    for (const engine::TokenId id : ids) {
      out.BeginObject().Key("id").Int(id).Key("piece");
      WritePiece(out, *model.tokenizer, id);
      out.EndObject();
    }
    out.EndArray();
  }
  out.EndObject();
  return out.Take();
}

ApiResult<ChatPrompt> ReadPrompt(const json::object& body, const ServedModel& model, const Limits& limits) {
  QUERN_API_ASSIGN(const ChatRequest request, ReadChatRequest(ObjectReader(body, ""), model, limits, RoutePrefix::kV1));
  return BuildChatPrompt(request, model, false);
}

// vLLM: {prompt} or {messages}, with return_token_strs.
ApiResult<std::string> TokenizePrompt(const json::object& object, const ServedModel& model, const Limits& limits) {
  const ObjectReader body(object, "");
  std::vector<engine::TokenId> ids;
  if (body.Has("messages")) {
    QUERN_API_ASSIGN(ChatPrompt prompt, ReadPrompt(object, model, limits));
    ids = std::move(prompt.tokens);
  } else {
    QUERN_API_ASSIGN(const std::string_view prompt, body.NeedString("prompt"));
    ids = model.tokenizer->Encode(prompt, {});
  }
  QUERN_API_ASSIGN(const auto strings, body.Bool("return_token_strs"));
  JsonWriter out;
  out.BeginObject().Key("count").Int(static_cast<int64_t>(ids.size()));
  out.Key("max_model_len").Int(model.context_length()).Key("tokens");
  WriteIds(out, ids);
  out.Key("token_strs");
  if (strings.value_or(false)) {
    out.BeginArray();
    for (const engine::TokenId id : ids) out.SanitizedString(model.tokenizer->DecodeBytes({{id}}, false));
    out.EndArray();
  } else {
    out.Null();
  }
  out.EndObject();
  return out.Take();
}

ApiResult<std::string> TokenizeJson(const json::object& body, const ServedModel& model, const Limits& limits) {
  const ObjectReader reader(body, "");
  if (reader.Has("prompt") || reader.Has("messages")) return TokenizePrompt(body, model, limits);
  return TokenizeContent(reader, model);
}

// llama.cpp reads "content" and vLLM "prompt".
ApiResult<std::string> DetokenizeJson(const json::object& body, const ServedModel& model, const Limits&) {
  QUERN_API_ASSIGN(const json::array* list, ObjectReader(body, "").Array("tokens"));
  if (list == nullptr) {
    return Fail(BadField("tokens", "Missing required parameter: 'tokens'.", "missing_required_parameter"));
  }
  std::vector<engine::TokenId> ids;
  ids.reserve(list->size());
  const int vocab_size = model.backend->info().vocab_size;
  for (const json::value& each : *list) {
    const std::optional<int64_t> id = AsInteger(each);
    if (!id || *id < 0 || *id >= vocab_size) {
      return Fail(BadField("tokens",
                           "Invalid value for 'tokens': expected token ids below " + std::to_string(vocab_size) + ".",
                           "invalid_value"));
    }
    ids.push_back(static_cast<engine::TokenId>(*id));
  }
  const std::string text = ReplaceInvalidUtf8(model.tokenizer->DecodeBytes(ids, false));
  JsonWriter out;
  out.BeginObject().Key("content").String(text).Key("prompt").String(text).EndObject();
  return out.Take();
}

ApiResult<std::string> TemplateJson(const json::object& body, const ServedModel& model, const Limits& limits) {
  QUERN_API_ASSIGN(const ChatPrompt prompt, ReadPrompt(body, model, limits));
  JsonWriter out;
  out.BeginObject().Key("prompt").SanitizedString(prompt.text).EndObject();
  return out.Take();
}

ApiResult<std::string> InputTokensJson(const json::object& body, const ServedModel& model, const Limits& limits) {
  QUERN_API_ASSIGN(const ChatPrompt prompt, ReadPrompt(body, model, limits));
  JsonWriter out;
  out.BeginObject().Key("input_tokens").Int(static_cast<int64_t>(prompt.tokens.size())).EndObject();
  return out.Take();
}

void Tokenize(const Call& call) { AnswerAtOnce(call, TokenizeJson); }
void Detokenize(const Call& call) { AnswerAtOnce(call, DetokenizeJson); }
void ApplyTemplate(const Call& call) { AnswerAtOnce(call, TemplateJson); }
void InputTokens(const Call& call) { AnswerAtOnce(call, InputTokensJson); }

ApiError NothingLoaded() { return FromStatus(Status(Code::kUnavailable, "Loading model")); }

void Props(const Call& call) {
  const auto& models = call.service.models->models();
  if (models.empty()) return call.exchange->SendError(NothingLoaded());
  const ServedModel& model = *models.front();
  JsonWriter out;
  out.BeginObject().Key("default_generation_settings").BeginObject();
  out.Key("n_ctx").Int(model.context_length()).Key("params").BeginObject();
  const engine::SamplingDefaults& defaults = model.backend->info().defaults;
  out.Key("temperature").Number(defaults.temperature).Key("top_k").Int(defaults.top_k);
  out.Key("top_p").Number(defaults.top_p).Key("min_p").Number(defaults.min_p);
  out.Key("repeat_penalty").Number(defaults.repetition_penalty).EndObject().EndObject();
  out.Key("total_slots").Int(model.backend->limits().max_running);
  out.Key("model_path").String(model.id).Key("model_alias").String(model.id);
  out.Key("chat_template").SanitizedString(model.chat_format->template_source());
  out.Key("modalities").BeginObject().Key("vision").Bool(false).Key("audio").Bool(false).EndObject();
  out.Key("build_info").String("quern").Key("is_sleeping").Bool(false).EndObject();
  call.exchange->SendJson(200, out.Take());
}

void Slots(const Call& call) {
  const auto& models = call.service.models->models();
  if (models.empty()) return call.exchange->SendError(NothingLoaded());
  const ServedModel& model = *models.front();
  const int n_slots = model.backend->limits().max_running;
  const int n_running = model.backend->stats().n_running;
  if (n_running >= n_slots && QueryValue(call.exchange->request().query, "fail_on_no_slot").has_value()) {
    return call.exchange->SendError(FromStatus(Status(Code::kUnavailable, "no slot available")));
  }
  JsonWriter out;
  out.BeginArray();
  for (int i = 0; i < n_slots; ++i) {
    out.BeginObject().Key("id").Int(i).Key("n_ctx").Int(model.context_length());
    out.Key("speculative").Bool(false).Key("is_processing").Bool(i < n_running).EndObject();
  }
  out.EndArray();
  call.exchange->SendJson(200, out.Take());
}

void Version(const Call& call) { call.exchange->SendJson(200, R"({"version":"0.1.0"})"); }
void Ping(const Call& call) { call.exchange->SendText(200, "text/plain; charset=utf-8", ""); }

void Load(const Call& call) {
  JsonWriter out;
  out.BeginObject().Key("server_load").Int(call.service.metrics->n_active()).EndObject();
  call.exchange->SendJson(200, out.Take());
}

constexpr Route kRoutes[] = {
    {"llamacpp.completion", "POST", "/completion", kRootMount, &kLlamaCppDialect, Completion, "Continue a text", false,
     &kLlamaCppCompletionShape},
    {"llamacpp.infill", "POST", "/infill", kRootMount, &kLlamaCppDialect, Infill, "Fill in code at the cursor", false,
     &kInfillShape},
    {"tokenize", "POST", "/tokenize", kRootMount, &kLlamaCppDialect, Tokenize, "Text or messages to token ids", false,
     &kTokenizeShape},
    {"detokenize", "POST", "/detokenize", kRootMount, &kLlamaCppDialect, Detokenize, "Token ids to text", false,
     &kDetokenizeShape},
    {"apply_template", "POST", "/apply-template", kRootMount, &kLlamaCppDialect, ApplyTemplate,
     "Messages to prompt text", false, &kTemplateShape},
    {"chat.input_tokens", "POST", "/chat/completions/input_tokens", kOpenAiMounts, &kOpenAiDialect, InputTokens,
     "Count a conversation's tokens", false, &kTemplateShape},
    {"llamacpp.props", "GET", "/props", kRootMount, &kLlamaCppDialect, Props, "The model's settings"},
    {"llamacpp.slots", "GET", "/slots", kRootMount, &kLlamaCppDialect, Slots, "What is being computed"},
    {"version", "GET", "/version", kRootMount, &kLlamaCppDialect, Version, "The server's version", true},
    {"ping", "GET", "/ping", kRootMount, &kLlamaCppDialect, Ping, "Say that the server runs", true},
    {"load", "GET", "/load", kRootMount, &kLlamaCppDialect, Load, "Requests being answered"},
};

}  // namespace

std::span<const Route> LlamaCppRoutes() { return kRoutes; }

}  // namespace quern::api
