#include "api/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "api/chat_answer.h"
#include "api/completion_answer.h"
#include "api/ids.h"
#include "api/json_reader.h"
#include "api/json_writer.h"
#include "api/openai_chat.h"
#include "api/openai_completions.h"
#include "api/router.h"
#include "base/json.h"
#include "base/utf8.h"

namespace quern::api {

namespace {

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

// Media types: JSON or nothing said. Others are refused because a web page may send text/plain or a form to a loopback
// server without the browser asking first.
ApiResult<void> CheckContentType(const HttpRequest& request) {
  std::string type(request.Find("content-type"));
  std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) { return std::tolower(c); });
  const size_t end = type.find(';');
  std::string media = type.substr(0, end);
  while (!media.empty() && media.back() == ' ') media.pop_back();
  if (!media.empty() && media != "application/json" && !media.ends_with("+json")) {
    return Fail(BadField("content-type",
                         fmt::format("Unsupported content-type '{}': send the body as application/json.",
                                     ReplaceInvalidUtf8(media.substr(0, 80))),
                         "invalid_content_type"));
  }
  const size_t charset = type.find("charset=");
  if (charset == std::string::npos) return {};
  const std::string name = type.substr(charset + 8);
  if (name.starts_with("utf-8") || name.starts_with("utf8") || name.starts_with("\"utf-8\"")) return {};
  return Fail(BadField("content-type", "Unsupported charset: the body must be UTF-8.", "invalid_content_type"));
}

ApiResult<boost::json::value> ReadBody(Exchange& exchange) {
  QUERN_API_TRY(CheckContentType(exchange.request()));
  QUERN_API_ASSIGN(boost::json::value document, ParseBody(exchange.request().body, exchange.limits()));
  // The text is not needed any more, and prompts are large.
  std::string().swap(exchange.mutable_request().body);
  if (!document.is_object()) {
    return Fail(BadField("",
                         fmt::format("We could not parse the JSON body of your request: expected an object, but got {} "
                                     "instead.",
                                     JsonKindName(document)),
                         "invalid_json"));
  }
  return document;
}

void WriteModel(JsonWriter& json, std::string_view id, const ServedModel& model) {
  json.BeginObject();
  json.Key("id").String(id);
  json.Key("object").String("model");
  json.Key("created").Int(model.created);
  json.Key("owned_by").String(model.owned_by);
  json.Key("root").String(model.id);
  json.Key("type").String("model");
  json.Key("display_name").String(id == model.id ? model.display_name : id);
  json.Key("context_length").Int(model.context_length());
  json.Key("max_model_len").Int(model.context_length());
  json.Key("max_output_tokens").Int(model.max_output());
  const auto at = static_cast<std::time_t>(model.created);
  std::tm utc{};
  gmtime_r(&at, &utc);
  json.Key("created_at")
      .String(fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                          utc.tm_hour, utc.tm_min, utc.tm_sec));
  json.Key("meta").BeginObject().Key("n_ctx_train").Int(model.context_length());
  json.Key("n_vocab").Int(model.backend->info().vocab_size).EndObject();
  json.EndObject();
}

}  // namespace

Service::Service(ServiceOptions options, std::shared_ptr<const ModelRegistry> models)
    : options_(std::move(options)), models_(std::move(models)), metrics_(std::make_shared<Metrics>()) {}

void Service::Handle(HttpRequest request, std::shared_ptr<ResponseSink> sink) {
  const RouteMatch match = MatchRoute(request.path);
  Exchange::Setup setup;
  setup.request = std::move(request);
  setup.sink = std::move(sink);
  setup.limits = &options_.limits;
  setup.metrics = metrics_;
  setup.cors_origin = options_.cors_origin;
  setup.prefix = match.prefix;
  setup.route = OperationName(match.operation);
  const auto exchange = std::make_shared<Exchange>(std::move(setup));
  // Standard library and parser exceptions end here, as one failed request.
  try {
    Dispatch(exchange);
  } catch (const std::exception& e) {
    if (!exchange->answered() && !exchange->streaming()) {
      exchange->SendError(FromStatus(Status(Code::kInternal, fmt::format("while reading the request: {}", e.what()))));
    }
  }
}

void Service::HandleBroken(const ApiError& error, std::shared_ptr<ResponseSink> sink) {
  Exchange::Setup setup;
  setup.sink = std::move(sink);
  setup.limits = &options_.limits;
  setup.metrics = metrics_;
  setup.cors_origin = options_.cors_origin;
  setup.route = "broken";
  Exchange(std::move(setup)).SendError(error);
}

void Service::Dispatch(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  const RouteMatch match = MatchRoute(request.path);
  if (request.method == "OPTIONS") return Options(*exchange);
  if (match.operation == Operation::kNone) {
    const std::string path = ReplaceInvalidUtf8(request.path.substr(0, 200));
    exchange->SendError(NotFound(
        match.doubled_v1
            ? fmt::format("Unknown path '{}': '/v1' occurs twice. Give the client a base URL with a single '/v1'.",
                          path)
            : fmt::format("Unknown request URL: {} {}. GET /v1/models and POST /v1/chat/completions exist.",
                          ReplaceInvalidUtf8(request.method.substr(0, 20)), path)));
    return;
  }
  const bool post = AllowedMethods(match.operation).starts_with("POST");
  const bool allowed = post ? request.method == "POST" : request.method == "GET" || request.method == "HEAD";
  if (!allowed) {
    ApiError error = BadField(
        "", fmt::format("Request method '{}' is not supported.", ReplaceInvalidUtf8(request.method.substr(0, 20))),
        "method_not_allowed");
    error.http_status = 405;
    error.allow = AllowedMethods(match.operation);
    exchange->SendError(error);
    return;
  }
  if (match.operation == Operation::kHealth) return Health(*exchange);
  if (match.operation == Operation::kRoot)
    return exchange->SendText(200, "text/plain; charset=utf-8", "Quern is running\n");
  const KeyCheck::Verdict verdict = options_.keys.Check(request);
  if (verdict != KeyCheck::Verdict::kAllowed) return exchange->SendError(Unauthorized(verdict));
  switch (match.operation) {
    case Operation::kListModels:
      return ListModels(*exchange);
    case Operation::kGetModel:
      return GetModel(*exchange, match.model_id);
    case Operation::kMetrics:
      return exchange->SendText(200, "text/plain; version=0.0.4; charset=utf-8", metrics_->Render(*models_));
    case Operation::kChat:
      return Chat(exchange);
    default:
      return Completions(exchange, match.operation == Operation::kFim);
  }
}

void Service::Options(Exchange& exchange) const {
  std::vector<Header> headers;
  if (!options_.cors_origin.empty()) {
    headers.push_back({"access-control-allow-methods", "GET, HEAD, POST, DELETE, OPTIONS"});
    headers.push_back({"access-control-allow-headers",
                       "*, authorization, x-api-key, api-key, anthropic-version, anthropic-beta, content-type"});
    headers.push_back({"access-control-max-age", "86400"});
  }
  exchange.SendNoContent(std::move(headers));
}

void Service::Health(Exchange& exchange) const {
  if (stopping_ || models_->models().empty()) {
    JsonWriter json;
    json.BeginObject().Key("error").BeginObject().Key("code").Int(503);
    json.Key("message").String(stopping_ ? "Shutting down" : "Loading model");
    json.Key("type").String("unavailable_error").EndObject().EndObject();
    exchange.SendJson(503, json.Take());
    return;
  }
  exchange.SendJson(200, R"({"status":"ok"})");
}

void Service::ListModels(Exchange& exchange) const {
  JsonWriter json;
  const auto& listings = models_->listings();
  json.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (const auto& listing : listings) WriteModel(json, listing.id, *listing.model);
  json.EndArray().Key("has_more").Bool(false);
  json.Key("first_id");
  listings.empty() ? json.Null() : json.String(listings.front().id);
  json.Key("last_id");
  listings.empty() ? json.Null() : json.String(listings.back().id);
  json.EndObject();
  exchange.SendJson(200, json.Take());
}

void Service::GetModel(Exchange& exchange, std::string_view id) const {
  const auto model = IsValidUtf8(id) ? models_->Find(id) : nullptr;
  if (!model) {
    ApiError error = NotFound(fmt::format("The model '{}' does not exist.", ReplaceInvalidUtf8(id.substr(0, 200))));
    error.code = "model_not_found";
    error.param = "model";
    exchange.SendError(error);
    return;
  }
  JsonWriter json;
  WriteModel(json, id, *model);
  exchange.SendJson(200, json.Take());
}

bool Service::Admit(Exchange& exchange) const {
  if (stopping_) {
    exchange.SendError(FromStatus(Status(Code::kUnavailable, "the server is shutting down")));
    return false;
  }
  if (static_cast<size_t>(metrics_->n_active()) <= options_.limits.max_requests) return true;
  exchange.SendError(FromStatus(Status(Code::kExhausted, fmt::format("{} requests are being answered already (limit "
                                                                     "max_requests)",
                                                                     options_.limits.max_requests))));
  return false;
}

void Service::Chat(const std::shared_ptr<Exchange>& exchange) const {
  if (!Admit(*exchange)) return;
  std::shared_ptr<const ServedModel> model;
  ApiResult<ChatRequest> request = [&]() -> ApiResult<ChatRequest> {
    QUERN_API_ASSIGN(const boost::json::value document, ReadBody(*exchange));
    const ObjectReader body(document.get_object(), "");
    QUERN_API_ASSIGN(model, ReadModel(body, *models_));
    return ReadChatRequest(body, *model, exchange->limits(), exchange->prefix());
  }();
  if (!request) return exchange->SendError(request.error());
  AnswerChat(exchange, std::move(model), std::move(*request));
}

void Service::Completions(const std::shared_ptr<Exchange>& exchange, bool fim) const {
  if (!Admit(*exchange)) return;
  std::shared_ptr<const ServedModel> model;
  ApiResult<CompletionRequest> request = [&]() -> ApiResult<CompletionRequest> {
    QUERN_API_ASSIGN(const boost::json::value document, ReadBody(*exchange));
    const ObjectReader body(document.get_object(), "");
    QUERN_API_ASSIGN(model, ReadModel(body, *models_));
    return ReadCompletionRequest(body, *model, exchange->limits(),
                                 fim ? CompletionShape::kFim : CompletionShape::kText);
  }();
  if (!request) return exchange->SendError(request.error());
  AnswerCompletion(exchange, std::move(model), std::move(*request));
}

}  // namespace quern::api
