#include "api/dashscope_routes.h"

#include <algorithm>

#include "api/chat_answer.h"
#include "api/chat_prompt.h"
#include "api/dashscope_generation.h"
#include "api/dashscope_writer.h"
#include "api/json_writer.h"
#include "api/query.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/service_context.h"

namespace quern::api {

namespace {

// What the native headers ask for and text generation cannot give.
ApiResult<void> CheckHeaders(const HttpRequest& request) {
  if (request.Find("x-dashscope-async") == "enable") {
    ApiError error = BadField("", "Current user api does not support asynchronous calls.", "AccessDenied");
    error.http_status = 403;
    error.type = "permission_error";
    return Fail(std::move(error));
  }
  if (!request.Find("x-dashscope-encryptionkey").empty()) {
    return Fail(BadField("x-dashscope-encryptionkey",
                         "Encrypted requests are not supported: send the body in clear, over TLS.",
                         "InvalidParameter"));
  }
  return {};
}

ApiError WorkspaceDenied() {
  ApiError error = BadField("x-dashscope-workspace",
                            "Access denied: Either you are not authorized to access this workspace, or the workspace "
                            "does not exist. Please: Verify the workspace configuration.",
                            "NOT AUTHORIZED");
  error.http_status = 401;
  error.type = "authentication_error";
  return error;
}

ApiResult<void> CheckWorkspace(const Call& call) {
  const auto& known = call.service.options.workspaces;
  const std::string_view asked = call.exchange->request().Find("x-dashscope-workspace");
  if (asked.empty() || known.empty() || std::find(known.begin(), known.end(), asked) != known.end()) return {};
  return Fail(WorkspaceDenied());
}

void Generation(const Call& call) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  std::shared_ptr<const ServedModel> model;
  ApiResult<DashScopeRequest> request = [&]() -> ApiResult<DashScopeRequest> {
    QUERN_API_TRY(CheckHeaders(exchange.request()));
    QUERN_API_TRY(CheckWorkspace(call));
    QUERN_API_ASSIGN(boost::json::value document, ReadBody(exchange));
    QUERN_API_ASSIGN(model, ReadDashScopeModel(document.get_object(), *call.service.models));
    return ReadDashScopeRequest(std::move(document.get_object()), exchange.request(), *model, exchange.limits());
  }();
  if (!request) return exchange.SendError(request.error());
  AnswerChat(call.exchange, std::move(model), std::move(request->chat),
             NewDashScopeWriter(request->result, request->incremental));
}

std::string TokenizerJson(const ServedModel& model, const std::vector<engine::TokenId>& tokens, std::string_view prompt,
                          std::string_view request_id) {
  JsonWriter json;
  json.BeginObject().Key("output").BeginObject().Key("token_ids").BeginArray();
  for (const engine::TokenId id : tokens) json.Int(id);
  json.EndArray().Key("tokens").BeginArray();
  for (const engine::TokenId id : tokens) json.SanitizedString(model.tokenizer->DecodeBytes({{id}}, false));
  json.EndArray().Key("prompt").SanitizedString(prompt).EndObject();
  json.Key("usage").BeginObject().Key("input_tokens").Int(static_cast<int64_t>(tokens.size())).EndObject();
  json.Key("request_id").String(request_id).EndObject();
  return json.Take();
}

void Tokenizer(const Call& call) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  const ApiResult<std::string> answer = [&]() -> ApiResult<std::string> {
    QUERN_API_ASSIGN(boost::json::value document, ReadBody(exchange));
    QUERN_API_ASSIGN(const auto model, ReadDashScopeModel(document.get_object(), *call.service.models));
    QUERN_API_ASSIGN(const DashScopeInput input,
                     ReadDashScopeInput(std::move(document.get_object()), *model, exchange.limits()));
    if (input.chat.messages.empty()) {
      return TokenizerJson(*model, model->tokenizer->Encode(input.prompt, {}), input.prompt, exchange.request_id());
    }
    QUERN_API_ASSIGN(const ChatPrompt prompt, BuildChatPrompt(input.chat, *model, false));
    return TokenizerJson(*model, prompt.tokens, prompt.text, exchange.request_id());
  }();
  if (!answer) return exchange.SendError(answer.error());
  exchange.SendJson(200, *answer);
}

// No task of text generation is ever kept: it does not run asynchronously.
void GetTask(const Call& call) {
  JsonWriter json;
  json.BeginObject().Key("request_id").String(call.exchange->request_id());
  json.Key("output").BeginObject().Key("task_id").SanitizedString(std::string_view(call.params[0]).substr(0, 200));
  json.Key("task_status").String("UNKNOWN").EndObject().EndObject();
  call.exchange->SendJson(200, json.Take());
}

ApiResult<int64_t> PageParameter(const HttpRequest& request, std::string_view name, int64_t fallback, int64_t max) {
  const auto text = QueryValue(request.query, name);
  if (!text) return fallback;
  const auto value = ParseCount(*text);
  if (value && *value >= 1 && *value <= max) return *value;
  return Fail(BadField(std::string(name),
                       "Range of " + std::string(name) + " should be [1, " + std::to_string(max) + "]",
                       "InvalidParameter"));
}

ApiResult<std::string> ModelsJson(const Call& call) {
  const HttpRequest& request = call.exchange->request();
  QUERN_API_ASSIGN(const int64_t page_no, PageParameter(request, "page_no", 1, 1'000'000));
  QUERN_API_ASSIGN(const int64_t page_size, PageParameter(request, "page_size", 10, 100));
  const std::string wanted = QueryValue(request.query, "model").value_or("");
  std::vector<std::string_view> names;
  for (const auto& listing : call.service.models->listings()) {
    if (wanted.empty() || listing.id == wanted) names.push_back(listing.id);
  }
  JsonWriter json;
  json.BeginObject().Key("request_id").String(call.exchange->request_id()).Key("output").BeginObject();
  json.Key("total").Int(static_cast<int64_t>(names.size()));
  json.Key("page_no").Int(page_no).Key("page_size").Int(page_size).Key("models").BeginArray();
  const auto first = static_cast<size_t>((page_no - 1) * page_size);
  for (size_t i = first; i < std::min(names.size(), first + static_cast<size_t>(page_size)); ++i) {
    json.BeginObject().Key("model").String(names[i]).Key("name").String(names[i]).EndObject();
  }
  json.EndArray().EndObject().EndObject();
  return json.Take();
}

void ListModels(const Call& call) {
  const ApiResult<std::string> answer = ModelsJson(call);
  if (!answer) return call.exchange->SendError(answer.error());
  call.exchange->SendJson(200, *answer);
}

constexpr Mount kMounts[] = {{"/api/v1", RoutePrefix::kCompatibleMode}};

constexpr Route kRoutes[] = {
    {"dashscope.generation", "POST", "/services/aigc/text-generation/generation", kMounts, &kDashScopeDialect,
     Generation, "Generate text, native protocol", false, &kDashScopeShape},
    {"dashscope.tokenizer", "POST", "/tokenizer", kMounts, &kDashScopeDialect, Tokenizer, "Tokenize a prompt", false,
     &kDashScopeTokenizerShape},
    {"dashscope.tasks.get", "GET", "/tasks/{id}", kMounts, &kDashScopeDialect, GetTask, "Look up a task"},
    {"dashscope.models.list", "GET", "/models", kMounts, &kDashScopeDialect, ListModels, "List the models, paged"},
};

}  // namespace

std::span<const Route> DashScopeRoutes() { return kRoutes; }

}  // namespace quern::api
