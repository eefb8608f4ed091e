#include "api/ollama_routes.h"

#include <chrono>
#include <variant>

#include "api/chat_answer.h"
#include "api/completion_answer.h"
#include "api/fim.h"
#include "api/json_writer.h"
#include "api/ollama_chat.h"
#include "api/ollama_load.h"
#include "api/ollama_writer.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/service_context.h"

namespace quern::api {

namespace json = boost::json;

namespace {

constexpr auto kForGood = std::chrono::hours(24 * 365 * 100);

// What a request turned out to be.
using OllamaRequest = std::variant<ChatRequest, CompletionRequest, OllamaLoad>;
using ReadRequest = ApiResult<OllamaRequest> (*)(json::object, const ServedModel&, const Limits&);

ApiResult<OllamaRequest> ReadLoad(const json::object& body, OllamaShape shape) {
  QUERN_API_ASSIGN(const auto keep_alive, ReadOllamaKeepAlive(body));
  return OllamaLoad{std::string(body.at("model").as_string()), shape, keep_alive};
}

void AnswerWith(const Call& call, ReadRequest read, OllamaShape shape) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  std::shared_ptr<const ServedModel> model;
  ApiResult<OllamaRequest> request = [&]() -> ApiResult<OllamaRequest> {
    QUERN_API_ASSIGN(json::value document, ReadBody(exchange));
    QUERN_API_ASSIGN(model, ReadOllamaModel(document.get_object(), *call.service.models));
    json::object& body = document.get_object();
    if (IsOllamaLoad(body, shape)) return ReadLoad(body, shape);
    return read(std::move(body), *model, exchange.limits());
  }();
  if (!request) return exchange.SendError(request.error());
  if (auto* load = std::get_if<OllamaLoad>(&*request)) {
    return AnswerOllamaLoad(call.exchange, std::move(model), std::move(*load));
  }
  if (auto* text = std::get_if<CompletionRequest>(&*request)) {
    return AnswerCompletion(call.exchange, std::move(model), std::move(*text), NewOllamaTextWriter());
  }
  AnswerChat(call.exchange, std::move(model), std::get<ChatRequest>(std::move(*request)), NewOllamaWriter(shape));
}

ApiResult<OllamaRequest> ReadChat(json::object body, const ServedModel& model, const Limits& limits) {
  return ReadOllamaChat(std::move(body), model, limits);
}

ApiResult<OllamaRequest> ReadGenerate(json::object body, const ServedModel& model, const Limits& limits) {
  QUERN_API_ASSIGN(const bool is_text, IsOllamaText(body));
  if (is_text) return ReadOllamaText(std::move(body), model, limits);
  return ReadOllamaGenerate(std::move(body), model, limits);
}

void Chat(const Call& call) { AnswerWith(call, ReadChat, OllamaShape::kMessage); }
void Generate(const Call& call) { AnswerWith(call, ReadGenerate, OllamaShape::kResponse); }

void WriteDetails(JsonWriter& out, const ServedModel& model) {
  const std::string& architecture = model.backend->info().architecture;
  out.Key("details").BeginObject().Key("parent_model").String("").Key("format").String("gguf");
  out.Key("family").String(architecture).Key("families").BeginArray().String(architecture).EndArray();
  out.Key("parameter_size").String("").Key("quantization_level").String("").EndObject();
}

void WriteListing(JsonWriter& out, std::string_view name, const ServedModel& model) {
  out.BeginObject().Key("name").String(name).Key("model").String(name);
  out.Key("size").Int(static_cast<int64_t>(model.backend->residency().bytes)).Key("digest").String("");
  WriteDetails(out, model);
}

void Tags(const Call& call) {
  JsonWriter out;
  out.BeginObject().Key("models").BeginArray();
  for (const auto& listing : call.service.models->listings()) {
    WriteListing(out, listing.id, *listing.model);
    out.Key("modified_at").String(OllamaTime(listing.model->created * 1000)).EndObject();
  }
  out.EndArray().EndObject();
  call.exchange->SendJson(200, out.Take());
}

void Running(const Call& call) {
  JsonWriter out;
  out.BeginObject().Key("models").BeginArray();
  for (const auto& model : call.service.models->models()) {
    const engine::Residency residency = model->backend->residency();
    if (residency.state != engine::Residency::State::kLoaded) continue;
    WriteListing(out, model->id, *model);
    out.Key("size_vram").Int(0).Key("context_length").Int(model->context_length());
    // A model that stays has a far end; clients expect one.
    const auto ends = residency.unloaded_at.value_or(std::chrono::system_clock::now() + kForGood);
    const auto ends_ms = std::chrono::duration_cast<std::chrono::milliseconds>(ends.time_since_epoch()).count();
    out.Key("expires_at").String(OllamaTime(ends_ms)).EndObject();
  }
  out.EndArray().EndObject();
  call.exchange->SendJson(200, out.Take());
}

void Show(const Call& call) {
  Exchange& exchange = *call.exchange;
  std::shared_ptr<const ServedModel> model;
  const ApiResult<void> found = [&]() -> ApiResult<void> {
    QUERN_API_ASSIGN(json::value document, ReadBody(exchange));
    json::object& body = document.get_object();
    if (const json::value* name = body.if_contains("name"); name != nullptr && !body.contains("model")) {
      const json::value copy = *name;
      body["model"] = copy;
    }
    QUERN_API_ASSIGN(model, ReadOllamaModel(body, *call.service.models));
    return {};
  }();
  if (!found) return exchange.SendError(found.error());
  const std::string& architecture = model->backend->info().architecture;
  JsonWriter out;
  out.BeginObject().Key("template").SanitizedString(model->chat_format->template_source());
  WriteDetails(out, *model);
  out.Key("model_info").BeginObject().Key("general.architecture").String(architecture);
  out.Key(architecture + ".context_length").Int(model->context_length()).EndObject();
  out.Key("capabilities").BeginArray().String("completion").String("tools");
  if (model->tokenizer->AddedTokenId(kFimMiddle) >= 0) out.String("insert");
  out.EndArray();
  out.Key("modified_at").String(OllamaTime(model->created * 1000)).EndObject();
  exchange.SendJson(200, out.Take());
}

void Version(const Call& call) { call.exchange->SendJson(200, R"({"version":"0.12.0"})"); }

constexpr Mount kMounts[] = {{"/api", RoutePrefix::kBare}};

constexpr Route kRoutes[] = {
    {"ollama.chat", "POST", "/chat", kMounts, &kOllamaDialect, Chat, "Answer a conversation (Ollama)", false,
     &kOllamaChatShape},
    {"ollama.generate", "POST", "/generate", kMounts, &kOllamaDialect, Generate, "Answer a prompt (Ollama)", false,
     &kOllamaGenerateShape},
    {"ollama.tags", "GET", "/tags", kMounts, &kOllamaDialect, Tags, "List the models (Ollama)"},
    {"ollama.show", "POST", "/show", kMounts, &kOllamaDialect, Show, "Describe a model (Ollama)", false,
     &kOllamaShowShape},
    {"ollama.ps", "GET", "/ps", kMounts, &kOllamaDialect, Running, "List the loaded models (Ollama)"},
    {"ollama.version", "GET", "/version", kMounts, &kOllamaDialect, Version, "The protocol's version (Ollama)", true},
};

}  // namespace

std::span<const Route> OllamaRoutes() { return kRoutes; }

}  // namespace quern::api
