#include "api/responses_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "api/chat_answer.h"
#include "api/chat_prompt.h"
#include "api/json_writer.h"
#include "api/query.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/responses_request.h"
#include "api/responses_writer.h"
#include "api/service_context.h"
#include "base/utf8.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// Reads the body; nothing when the error was sent.
std::optional<ResponsesRequest> ReadRequest(const Call& call, std::shared_ptr<const ServedModel>& model) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return std::nullopt;
  ApiResult<ResponsesRequest> request = [&]() -> ApiResult<ResponsesRequest> {
    QUERN_API_ASSIGN(const json::value document, ReadBody(exchange));
    const ObjectReader body(document.get_object(), "");
    QUERN_API_ASSIGN(model, ReadModel(body, *call.service.models));
    return ReadResponsesRequest(body, *model, exchange.limits(), {*call.service.kept, exchange.owner()});
  }();
  if (request) return *std::move(request);
  exchange.SendError(request.error());
  return std::nullopt;
}

void CreateResponse(const Call& call) {
  std::shared_ptr<const ServedModel> model;
  std::optional<ResponsesRequest> request = ReadRequest(call, model);
  if (!request) return;
  AnswerChat(call.exchange, std::move(model), std::move(request->chat),
             NewResponsesWriter(std::move(request->frame), call.service.kept));
}

// Renders and encodes as for an answer, but asks nothing of the engine.
void CountInputTokens(const Call& call) {
  std::shared_ptr<const ServedModel> model;
  const std::optional<ResponsesRequest> request = ReadRequest(call, model);
  if (!request) return;
  const ApiResult<ChatPrompt> prompt = BuildChatPrompt(request->chat, *model, false);
  if (!prompt) return call.exchange->SendError(prompt.error());
  JsonWriter out;
  out.BeginObject().Key("object").String("response.input_tokens");
  out.Key("input_tokens").Int(static_cast<int64_t>(prompt->tokens.size())).EndObject();
  call.exchange->SendJson(200, out.Take());
}

void SendNotFound(const Call& call) {
  ApiError error = BadField("response_id",
                            fmt::format("Response with id '{}' not found.",
                                        ReplaceInvalidUtf8(std::string_view(call.params[0]).substr(0, 100))),
                            "not_found");
  error.http_status = 404;
  call.exchange->SendError(error);
}

// Null when the error was sent.
std::shared_ptr<const KeptItem> FindStored(const Call& call) {
  const auto found = call.service.kept->Get(ItemKind::kResponse, call.exchange->owner(), call.params[0]);
  if (!found) {
    call.exchange->SendError(FromStatus(found.error()));
  } else if (!*found) {
    SendNotFound(call);
  }
  return found.value_or(nullptr);
}

void GetResponse(const Call& call) {
  const auto stored = FindStored(call);
  if (!stored) return;
  if (QueryValue(call.exchange->request().query, "stream") == "true") {
    return call.exchange->SendError(
        BadField("stream", "A kept response cannot be streamed again; ask for it without 'stream'.", "unsupported"));
  }
  call.exchange->SendJson(200, stored->object);
}

void DeleteResponse(const Call& call) {
  const std::string& id = call.params[0];
  const Result<bool> gone = call.service.kept->Delete(ItemKind::kResponse, call.exchange->owner(), id);
  if (!gone) return call.exchange->SendError(FromStatus(gone.error()));
  if (!*gone) return SendNotFound(call);
  JsonWriter out;
  out.BeginObject().Key("id").String(id).Key("object").String("response").Key("deleted").Bool(true).EndObject();
  call.exchange->SendJson(200, out.Take());
}

// ---- input items ----

// A page of a list: how many, which end first, behind which id.
struct Page {
  size_t limit = 20;
  bool newest_first = true;
  std::string after;
};

ApiResult<Page> ReadPage(std::string_view query) {
  Page page;
  if (const auto limit = QueryValue(query, "limit")) {
    const auto count = ParseCount(*limit);
    if (!count || *count < 1 || *count > 100) {
      return Fail(BadField("limit", "Invalid value for 'limit': expected an integer in [1, 100].", "invalid_value"));
    }
    page.limit = static_cast<size_t>(*count);
  }
  const std::string order = QueryValue(query, "order").value_or("desc");
  if (order != "asc" && order != "desc") {
    return Fail(BadField("order", "Invalid value for 'order': expected 'asc' or 'desc'.", "invalid_value"));
  }
  page.newest_first = order == "desc";
  page.after = QueryValue(query, "after").value_or("");
  return page;
}

void ListInputItems(const Call& call) {
  const auto stored = FindStored(call);
  if (!stored) return;
  const ApiResult<Page> page = ReadPage(call.exchange->request().query);
  if (!page) return call.exchange->SendError(page.error());
  json::value parsed = ParseStored(stored->input);
  json::array& items = parsed.as_array();
  if (page->newest_first) std::reverse(items.begin(), items.end());
  auto first = items.begin();
  if (!page->after.empty()) {
    first = std::find_if(items.begin(), items.end(),
                         [&](const json::value& item) { return item.at("id").as_string() == page->after; });
    if (first != items.end()) ++first;
  }
  const auto left = static_cast<size_t>(items.end() - first);
  const auto last = first + static_cast<std::ptrdiff_t>(std::min(page->limit, left));
  JsonWriter out;
  out.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (auto item = first; item != last; ++item) out.Raw(json::serialize(*item));
  out.EndArray();
  const auto write_id = [&](std::string_view key, auto item) {
    out.Key(key);
    first == last ? out.Null() : out.Raw(json::serialize(item->at("id")));
  };
  write_id("first_id", first);
  write_id("last_id", first == last ? last : last - 1);
  out.Key("has_more").Bool(left > page->limit).EndObject();
  call.exchange->SendJson(200, out.Take());
}

constexpr Mount kMounts[] = {{"/v1", RoutePrefix::kV1},
                             {"", RoutePrefix::kBare},
                             {"/compatible-mode/v1", RoutePrefix::kCompatibleMode},
                             {"/openai/v1", RoutePrefix::kOpenAi},
                             // Model Studio's older address.
                             {"/api/v2/apps/protocols/compatible-mode/v1", RoutePrefix::kCompatibleMode}};

constexpr Route kRoutes[] = {
    {"responses.create", "POST", "/responses", kMounts, &kOpenAiDialect, CreateResponse, "Answer items", false,
     &kResponsesShape},
    {"responses.input_tokens", "POST", "/responses/input_tokens", kMounts, &kOpenAiDialect, CountInputTokens,
     "Count the tokens of items", false, &kResponsesShape},
    {"responses.get", "GET", "/responses/{id}", kMounts, &kOpenAiDialect, GetResponse, "Get a kept response"},
    {"responses.delete", "DELETE", "/responses/{id}", kMounts, &kOpenAiDialect, DeleteResponse,
     "Forget a kept response"},
    {"responses.input_items", "GET", "/responses/{id}/input_items", kMounts, &kOpenAiDialect, ListInputItems,
     "List the items a kept response was given"},
};

}  // namespace

std::span<const Route> ResponsesRoutes() { return kRoutes; }

}  // namespace quern::api
