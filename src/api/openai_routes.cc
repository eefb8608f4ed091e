#include "api/openai_routes.h"

#include "api/chat_answer.h"
#include "api/completion_answer.h"
#include "api/json_reader.h"
#include "api/model_list.h"
#include "api/openai_chat.h"
#include "api/openai_chat_writer.h"
#include "api/openai_completion_writer.h"
#include "api/openai_completions.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/service_context.h"
#include "api/stored_chat.h"

namespace quern::api {

namespace {

void Chat(const Call& call) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  std::shared_ptr<const ServedModel> model;
  std::optional<StoredChatRequest> store;
  ApiResult<ChatRequest> request = [&]() -> ApiResult<ChatRequest> {
    QUERN_API_ASSIGN(const boost::json::value document, ReadBody(exchange));
    const ObjectReader body(document.get_object(), "");
    QUERN_API_ASSIGN(model, ReadModel(body, *call.service.models));
    QUERN_API_ASSIGN(ChatRequest chat, ReadChatRequest(body, *model, exchange.limits(), exchange.prefix()));
    QUERN_API_ASSIGN(store, ReadStore(body));
    return chat;
  }();
  if (!request) return exchange.SendError(request.error());
  std::unique_ptr<ChatWriter> writer = NewOpenAiChatWriter();
  if (store) writer = NewStoringChatWriter(std::move(writer), *std::move(store), call.service.kept);
  AnswerChat(call.exchange, std::move(model), std::move(*request), std::move(writer));
}

void CompletionsAs(const Call& call, CompletionShape shape) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  std::shared_ptr<const ServedModel> model;
  ApiResult<CompletionRequest> request = [&]() -> ApiResult<CompletionRequest> {
    QUERN_API_ASSIGN(const boost::json::value document, ReadBody(exchange));
    const ObjectReader body(document.get_object(), "");
    QUERN_API_ASSIGN(model, ReadModel(body, *call.service.models));
    return ReadCompletionRequest(body, *model, exchange.limits(), shape);
  }();
  if (!request) return exchange.SendError(request.error());
  AnswerCompletion(call.exchange, std::move(model), std::move(*request), NewOpenAiCompletionWriter());
}

void Completions(const Call& call) { CompletionsAs(call, CompletionShape::kText); }
void Fim(const Call& call) { CompletionsAs(call, CompletionShape::kFim); }

constexpr Route kRoutes[] = {
    {"chat.completions", "POST", "/chat/completions", kOpenAiMounts, &kOpenAiDialect, Chat, "Answer a conversation",
     false, &kChatShape},
    {"completions", "POST", "/completions", kOpenAiMounts, &kOpenAiDialect, Completions, "Continue a text", false,
     &kCompletionShape},
    {"fim.completions", "POST", "/fim/completions", kOpenAiMounts, &kOpenAiDialect, Fim, "Fill in the middle", false,
     &kCompletionShape},
    {"models.list", "GET", "/models", kOpenAiMounts, &kOpenAiDialect, ListModels, "List the models"},
    {"models.get", "GET", "/models/{id...}", kOpenAiMounts, &kOpenAiDialect, GetModel, "Describe a model"},
};

}  // namespace

std::span<const Route> OpenAiRoutes() { return kRoutes; }

}  // namespace quern::api
