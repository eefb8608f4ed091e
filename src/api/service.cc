#include "api/service.h"

#include <fmt/format.h>

#include <array>

#include "api/anthropic_routes.h"
#include "api/batch_routes.h"
#include "api/dashscope_routes.h"
#include "api/file_routes.h"
#include "api/llamacpp_routes.h"
#include "api/ollama_routes.h"
#include "api/openai_routes.h"
#include "api/responses_routes.h"
#include "api/segmind_routes.h"
#include "api/server_routes.h"
#include "api/stored_chat.h"
#include "base/check.h"
#include "base/utf8.h"

namespace quern::api {

namespace {

constexpr size_t kFormBytes = 64 * 1024;

ApiError NotFound(std::string message) {
  ApiError error = BadField("", std::move(message), "not_found");
  error.http_status = 404;
  return error;
}

ApiError Unauthorized(KeyCheck::Verdict verdict) {
  ApiError error;
  error.http_status = 401;
  error.type = "authentication_error";
  error.code = "invalid_api_key";
  error.message = verdict == KeyCheck::Verdict::kMissing
                      ? "No API key provided. Send it as 'Authorization: Bearer KEY' or in 'x-api-key'."
                      : "Incorrect API key provided.";
  return error;
}

ApiError WrongMethod(std::string_view method, std::string allow) {
  ApiError error =
      BadField("", fmt::format("Request method '{}' is not supported.", ReplaceInvalidUtf8(method.substr(0, 20))),
               "method_not_allowed");
  error.http_status = 405;
  error.allow = std::move(allow);
  return error;
}

ApiError UnknownPath(const HttpRequest& request, bool doubled_v1) {
  const std::string path = ReplaceInvalidUtf8(std::string_view(request.path).substr(0, 200));
  return NotFound(
      doubled_v1
          ? fmt::format("Unknown path '{}': '/v1' occurs twice. Give the client a base URL with a single '/v1'.", path)
          : fmt::format("Unknown request URL: {} {}. GET /v1/models and POST /v1/chat/completions exist.",
                        ReplaceInvalidUtf8(std::string_view(request.method).substr(0, 20)), path));
}

void AnswerOptions(Exchange& exchange, std::string_view cors_origin) {
  std::vector<Header> headers;
  if (!cors_origin.empty()) {
    headers.push_back({"access-control-allow-methods", "GET, HEAD, POST, DELETE, OPTIONS"});
    headers.push_back({"access-control-allow-headers",
                       "*, authorization, x-api-key, api-key, anthropic-version, anthropic-beta, content-type"});
    headers.push_back({"access-control-max-age", "86400"});
  }
  exchange.SendNoContent(std::move(headers));
}

const RouteTable& Routes() {
  static const std::array tables = {OpenAiRoutes(),   StoredChatRoutes(), ResponsesRoutes(), FileRoutes(),
                                    BatchRoutes(),    AnthropicRoutes(),  DashScopeRoutes(), SegmindRoutes(),
                                    LlamaCppRoutes(), OllamaRoutes(),     ServerRoutes()};
  static const RouteTable table(tables);
  return table;
}

}  // namespace

bool ServiceContext::Admit(Exchange& exchange) const {
  if (stopping) {
    exchange.SendError(FromStatus(Status(Code::kUnavailable, "the server is shutting down")));
    return false;
  }
  if (static_cast<size_t>(metrics->n_active()) <= options.limits.max_requests) return true;
  exchange.SendError(FromStatus(Status(Code::kExhausted, fmt::format("{} requests are being answered already (limit "
                                                                     "max_requests)",
                                                                     options.limits.max_requests))));
  return false;
}

Service::Service(ServiceOptions options, std::shared_ptr<const ModelRegistry> models) {
  context_.options = std::move(options);
  context_.models = std::move(models);
  context_.routes = &Routes();
  if (!context_.options.storage.kept) {
    Result<Storage> in_memory = OpenStorage("", context_.options.limits);
    QUERN_CHECK(in_memory.has_value());
    context_.options.storage = *std::move(in_memory);
  }
  context_.kept = context_.options.storage.kept;
}

Service::~Service() { BeginShutdown(); }

void Service::StartBatches() {
  const Storage& storage = context_.options.storage;
  if (!storage.batches) return;
  batches_ = std::make_unique<BatchWorker>(
      BatchWorkerOptions{storage.batches, storage.files, context_.options.limits,
                         [this](const std::string& owner, HttpRequest request, std::shared_ptr<ResponseSink> sink) {
                           HandleFor({owner, engine::Priority::kBackground, true}, std::move(request), std::move(sink));
                         }});
  context_.batches_changed = [this] { batches_->Wake(); };
}

void Service::BeginShutdown() {
  context_.stopping = true;
  if (batches_) batches_->Stop();
}

bool Service::IsUpload(std::string_view method, std::string_view path) const {
  const RouteMatch match = Routes().Find(method, path);
  return match.route != nullptr && match.route->begin_upload != nullptr;
}

Service::BodyPlan Service::PlanBody(const HttpRequest& head) const {
  const RouteMatch match = Routes().Find(head.method, head.path);
  if (match.route == nullptr || match.route->begin_upload == nullptr) return {};
  if (context_.options.keys.Check(head) != KeyCheck::Verdict::kAllowed) return {BodyPlan::Kind::kRefuse, nullptr, 0};
  std::shared_ptr<BodyTaker> taker = match.route->begin_upload(context_, head);
  if (!taker) return {BodyPlan::Kind::kRefuse, nullptr, 0};
  // The form around the file is small.
  return {BodyPlan::Kind::kTake, std::move(taker), context_.options.limits.max_file_bytes + kFormBytes};
}

void Service::Handle(HttpRequest request, std::shared_ptr<ResponseSink> sink) {
  Caller caller;
  caller.owner = KeyCheck::OwnerOf(request, context_.options.storage.owner_salt);
  HandleFor(std::move(caller), std::move(request), std::move(sink));
}

void Service::HandleFor(Caller caller, HttpRequest request, std::shared_ptr<ResponseSink> sink) {
  RouteMatch match = Routes().Find(request.method, request.path);
  Exchange::Setup setup;
  setup.request = std::move(request);
  setup.sink = std::move(sink);
  setup.limits = &context_.options.limits;
  setup.metrics = context_.metrics;
  setup.cors_origin = context_.options.cors_origin;
  setup.prefix = match.prefix;
  setup.route = match.route == nullptr ? "unknown" : match.route->name;
  setup.dialect = match.dialect;
  setup.owner = std::move(caller.owner);
  setup.priority = caller.priority;
  setup.body = match.route == nullptr ? nullptr : match.route->body;
  const auto exchange = std::make_shared<Exchange>(std::move(setup));
  // Standard library and parser exceptions end here, as one failed request.
  try {
    Dispatch(exchange, std::move(match), caller.is_known);
  } catch (const std::exception& e) {
    if (!exchange->answered() && !exchange->streaming()) {
      exchange->SendError(FromStatus(Status(Code::kInternal, fmt::format("while reading the request: {}", e.what()))));
    }
  }
}

void Service::HandleBroken(const ApiError& error, std::string_view path, std::shared_ptr<ResponseSink> sink) {
  Exchange::Setup setup;
  setup.sink = std::move(sink);
  setup.limits = &context_.options.limits;
  setup.metrics = context_.metrics;
  setup.cors_origin = context_.options.cors_origin;
  setup.route = "broken";
  setup.dialect = Routes().Find("", path).dialect;
  Exchange(std::move(setup)).SendError(error);
}

void Service::Dispatch(const std::shared_ptr<Exchange>& exchange, RouteMatch match, bool is_known) {
  const HttpRequest& request = exchange->request();
  if (request.method == "OPTIONS") return AnswerOptions(*exchange, context_.options.cors_origin);
  if (match.route == nullptr) {
    return exchange->SendError(match.allow.empty() ? UnknownPath(request, match.doubled_v1)
                                                   : WrongMethod(request.method, std::move(match.allow)));
  }
  if (!match.route->is_public && !is_known) {
    const KeyCheck::Verdict verdict = context_.options.keys.Check(request);
    if (verdict != KeyCheck::Verdict::kAllowed) return exchange->SendError(Unauthorized(verdict));
  }
  match.route->handle({context_, exchange, std::move(match.params)});
}

}  // namespace quern::api
