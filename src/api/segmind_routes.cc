#include "api/segmind_routes.h"

#include "api/chat_answer.h"
#include "api/ids.h"
#include "api/json_writer.h"
#include "api/openai_chat.h"
#include "api/openai_chat_writer.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/service_context.h"

namespace quern::api {

namespace {

// {"error":"text","error_details":{...}}: the page documents statuses only, so the body is ours.
std::string ErrorJson(const ApiError& error, std::string_view request_id) {
  JsonWriter json;
  json.BeginObject().Key("error").SanitizedString(error.message);
  json.Key("error_details").BeginObject().Key("type").String(error.type).Key("code");
  error.code.empty() ? json.Null() : json.SanitizedString(error.code);
  json.Key("param");
  error.param.empty() ? json.Null() : json.SanitizedString(error.param);
  json.EndObject();
  if (!request_id.empty()) json.Key("request_id").String(request_id);
  json.EndObject();
  return json.Take();
}

constexpr Dialect kSegmindDialect = {"segmind", ErrorJson, nullptr, "x-request-id", NewUuid};

// The path is the model's name; a `model` in the body is ignored, as the page has none.
void Generate(const Call& call, std::string_view model_name) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  std::shared_ptr<const ServedModel> model;
  ApiResult<ChatRequest> request = [&]() -> ApiResult<ChatRequest> {
    QUERN_API_ASSIGN(boost::json::value document, ReadBody(exchange));
    document.get_object()["model"] = model_name;
    const ObjectReader body(document.get_object(), "");
    QUERN_API_ASSIGN(model, ReadModel(body, *call.service.models));
    return ReadChatRequest(body, *model, exchange.limits(), RoutePrefix::kV1);
  }();
  if (!request) return exchange.SendError(request.error());
  AnswerChat(call.exchange, std::move(model), std::move(*request), NewOpenAiChatWriter());
}

void Plus(const Call& call) { Generate(call, "qwen3-coder-plus"); }
void Flash(const Call& call) { Generate(call, "qwen3-coder-flash"); }

constexpr Mount kMounts[] = {{"/v1", RoutePrefix::kV1}};

constexpr Route kRoutes[] = {
    {"segmind.plus", "POST", "/qwen3-coder-plus", kMounts, &kSegmindDialect, Plus, "Answer a conversation (Segmind)",
     false, &kSegmindShape},
    {"segmind.flash", "POST", "/qwen3-coder-flash", kMounts, &kSegmindDialect, Flash, "Answer a conversation (Segmind)",
     false, &kSegmindShape},
};

}  // namespace

std::span<const Route> SegmindRoutes() { return kRoutes; }

}  // namespace quern::api
