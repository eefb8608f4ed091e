#include "api/anthropic_routes.h"

#include "api/anthropic_messages.h"
#include "api/anthropic_writer.h"
#include "api/chat_answer.h"
#include "api/chat_prompt.h"
#include "api/json_writer.h"
#include "api/model_list.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/service_context.h"

namespace quern::api {

namespace {

// Reads the body; nothing when the error was sent.
std::optional<ChatRequest> ReadRequest(const Call& call, std::shared_ptr<const ServedModel>& model) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return std::nullopt;
  ApiResult<ChatRequest> request = [&]() -> ApiResult<ChatRequest> {
    QUERN_API_ASSIGN(const boost::json::value document, ReadBody(exchange));
    const ObjectReader body(document.get_object(), "");
    QUERN_API_ASSIGN(model, ReadModel(body, *call.service.models));
    return ReadAnthropicRequest(body, *model, exchange.limits());
  }();
  if (request) return *std::move(request);
  exchange.SendError(request.error());
  return std::nullopt;
}

void Messages(const Call& call) {
  std::shared_ptr<const ServedModel> model;
  std::optional<ChatRequest> request = ReadRequest(call, model);
  if (request) AnswerChat(call.exchange, std::move(model), *std::move(request), NewAnthropicWriter());
}

// Renders and encodes as for an answer, but asks nothing of the engine and so waits for no generation.
void CountTokens(const Call& call) {
  std::shared_ptr<const ServedModel> model;
  const std::optional<ChatRequest> request = ReadRequest(call, model);
  if (!request) return;
  const ApiResult<ChatPrompt> prompt = BuildChatPrompt(*request, *model, false);
  if (!prompt) return call.exchange->SendError(prompt.error());
  JsonWriter json;
  json.BeginObject().Key("input_tokens").Int(static_cast<int64_t>(prompt->tokens.size())).EndObject();
  call.exchange->SendJson(200, json.Take());
}

constexpr Mount kMounts[] = {
    {"", RoutePrefix::kBare}, {"/anthropic", RoutePrefix::kBare}, {"/apps/anthropic", RoutePrefix::kBare}};
// Without a prefix the models are the OpenAI family's, in a shape that serves both.
constexpr Mount kPrefixedMounts[] = {{"/anthropic", RoutePrefix::kBare}, {"/apps/anthropic", RoutePrefix::kBare}};

constexpr Route kRoutes[] = {
    {"anthropic.messages", "POST", "/v1/messages", kMounts, &kAnthropicDialect, Messages, "Answer a conversation",
     false, &kAnthropicShape},
    {"anthropic.count_tokens", "POST", "/v1/messages/count_tokens", kMounts, &kAnthropicDialect, CountTokens,
     "Count a conversation's tokens", false, &kAnthropicShape},
    {"anthropic.models.list", "GET", "/v1/models", kPrefixedMounts, &kAnthropicDialect, ListModels, "List the models"},
    {"anthropic.models.get", "GET", "/v1/models/{id...}", kPrefixedMounts, &kAnthropicDialect, GetModel,
     "Describe a model"},
};

}  // namespace

std::span<const Route> AnthropicRoutes() { return kRoutes; }

}  // namespace quern::api
