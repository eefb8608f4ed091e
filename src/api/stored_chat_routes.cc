#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/metadata.h"
#include "api/openai_routes.h"
#include "api/page_query.h"
#include "api/query.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/responses_request.h"
#include "api/service_context.h"
#include "api/stored_chat.h"
#include "base/utf8.h"

namespace quern::api {

namespace json = boost::json;

namespace {

constexpr ItemKind kKind = ItemKind::kChatCompletion;

void SendNotFound(const Call& call) {
  ApiError error = BadField("completion_id",
                            fmt::format("Chat completion with id '{}' not found. Those are kept that were asked for "
                                        "with 'store': true.",
                                        ReplaceInvalidUtf8(std::string_view(call.params[0]).substr(0, 100))),
                            "not_found");
  error.http_status = 404;
  call.exchange->SendError(error);
}

// Null when the error was sent.
std::shared_ptr<const KeptItem> FindStored(const Call& call) {
  const auto found = call.service.kept->Get(kKind, call.exchange->owner(), call.params[0]);
  if (!found) {
    call.exchange->SendError(FromStatus(found.error()));
  } else if (!*found) {
    SendNotFound(call);
  }
  return found.value_or(nullptr);
}

void GetStored(const Call& call) {
  if (const auto item = FindStored(call)) call.exchange->SendJson(200, item->object);
}

// Only the metadata can be changed.
void UpdateStored(const Call& call) {
  const auto item = FindStored(call);
  if (!item) return;
  const ApiResult<std::string> metadata = [&]() -> ApiResult<std::string> {
    QUERN_API_ASSIGN(const json::value document, ReadBody(*call.exchange));
    return ReadMetadata(ObjectReader(document.get_object(), ""));
  }();
  if (!metadata) return call.exchange->SendError(metadata.error());
  json::value object = ParseStored(item->object);
  object.as_object()["metadata"] = ParseStored(*metadata);
  std::string text = json::serialize(object);
  const auto updated = call.service.kept->Update(kKind, call.exchange->owner(), call.params[0], text, *metadata);
  if (!updated) return call.exchange->SendError(FromStatus(updated.error()));
  if (!*updated) return SendNotFound(call);
  call.exchange->SendJson(200, std::move(text));
}

void DeleteStored(const Call& call) {
  const std::string& id = call.params[0];
  const auto gone = call.service.kept->Delete(kKind, call.exchange->owner(), id);
  if (!gone) return call.exchange->SendError(FromStatus(gone.error()));
  if (!*gone) return SendNotFound(call);
  JsonWriter out;
  out.BeginObject().Key("id").String(id).Key("object").String("chat.completion.deleted");
  call.exchange->SendJson(200, out.Key("deleted").Bool(true).EndObject().Take());
}

void WriteList(const Call& call, const std::vector<std::string>& objects, std::string_view first_id,
               std::string_view last_id, bool has_more) {
  JsonWriter out;
  out.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (const std::string& object : objects) out.Raw(object);
  out.EndArray();
  WriteListEnd(out, first_id, last_id, has_more);
  call.exchange->SendJson(200, out.EndObject().Take());
}

// Query parameters metadata[key]=value.
std::vector<std::pair<std::string, std::string>> MetadataFilter(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (auto& [name, value] : QueryPairs(query)) {
    if (!name.starts_with("metadata[") || !name.ends_with(']')) continue;
    pairs.emplace_back(name.substr(9, name.size() - 10), std::move(value));
  }
  return pairs;
}

void ListStored(const Call& call) {
  const std::string& query = call.exchange->request().query;
  const ApiResult<PageQuery> page = ReadPageQuery(query, 20, 100, false);
  if (!page) return call.exchange->SendError(page.error());
  const auto found = call.service.kept->List(kKind, call.exchange->owner(),
                                             {.model = QueryValue(query, "model").value_or(""),
                                              .metadata = MetadataFilter(query),
                                              .after = page->after,
                                              .newest_first = page->newest_first,
                                              .limit = page->limit});
  if (!found) return call.exchange->SendError(ListError(found.error()));
  WriteList(call, found->objects, found->ids.empty() ? "" : found->ids.front(),
            found->ids.empty() ? "" : found->ids.back(), found->has_more);
}

// The messages that it was asked with; their ids are made of its own.
void ListMessages(const Call& call) {
  const auto item = FindStored(call);
  if (!item) return;
  const ApiResult<PageQuery> page = ReadPageQuery(call.exchange->request().query, 20, 100, false);
  if (!page) return call.exchange->SendError(page.error());
  json::value parsed = ParseStored(item->input);
  json::array& messages = parsed.as_array();
  std::vector<std::pair<std::string, std::string>> all;  // id, object
  for (size_t i = 0; i < messages.size(); ++i) {
    std::string id = fmt::format("{}-{}", call.params[0], i);
    messages[i].as_object()["id"] = id;
    all.emplace_back(std::move(id), json::serialize(messages[i]));
  }
  if (page->newest_first) std::reverse(all.begin(), all.end());
  auto first = all.begin();
  if (!page->after.empty()) {
    first = std::find_if(all.begin(), all.end(), [&](const auto& message) { return message.first == page->after; });
    if (first == all.end()) {
      return call.exchange->SendError(ListError(Status(Code::kNotFound, "there is no such message")));
    }
    ++first;
  }
  const auto n_left = static_cast<size_t>(all.end() - first);
  const auto last = first + static_cast<std::ptrdiff_t>(std::min(page->limit, n_left));
  std::vector<std::string> objects;
  for (auto it = first; it != last; ++it) objects.push_back(it->second);
  WriteList(call, objects, first == last ? "" : first->first, first == last ? "" : (last - 1)->first,
            n_left > page->limit);
}

constexpr Route kRoutes[] = {
    {"stored_chat.list", "GET", "/chat/completions", kOpenAiMounts, &kOpenAiDialect, ListStored,
     "List the stored chat completions"},
    {"stored_chat.get", "GET", "/chat/completions/{id}", kOpenAiMounts, &kOpenAiDialect, GetStored,
     "Get a stored chat completion"},
    {"stored_chat.update", "POST", "/chat/completions/{id}", kOpenAiMounts, &kOpenAiDialect, UpdateStored,
     "Change the metadata of a stored chat completion", false, &kChatUpdateShape},
    {"stored_chat.delete", "DELETE", "/chat/completions/{id}", kOpenAiMounts, &kOpenAiDialect, DeleteStored,
     "Forget a stored chat completion"},
    {"stored_chat.messages", "GET", "/chat/completions/{id}/messages", kOpenAiMounts, &kOpenAiDialect, ListMessages,
     "List the messages of a stored chat completion"},
};

}  // namespace

std::span<const Route> StoredChatRoutes() { return kRoutes; }

}  // namespace quern::api
