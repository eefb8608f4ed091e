#include "api/batch_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "api/dry_run.h"
#include "api/json_reader.h"
#include "api/json_writer.h"
#include "api/metadata.h"
#include "api/openai_routes.h"
#include "api/page_query.h"
#include "api/query.h"
#include "api/request_body.h"
#include "api/request_shapes.h"
#include "api/service_context.h"
#include "base/utf8.h"

namespace quern::api {

namespace json = boost::json;

namespace {

constexpr std::string_view kEndpoints[] = {"/v1/chat/completions", "/v1/completions", "/v1/responses", kDryRunEndpoint};
constexpr size_t kMaxListed = 100;

void WriteTime(JsonWriter& out, std::string_view key, int64_t seconds) {
  out.Key(key);
  seconds == 0 ? out.Null() : out.Int(seconds);
}

void WriteText(JsonWriter& out, std::string_view key, std::string_view text) {
  out.Key(key);
  text.empty() ? out.Null() : out.String(text);
}

void WriteBatch(JsonWriter& out, const Batch& batch) {
  out.BeginObject().Key("id").String(batch.id).Key("object").String("batch").Key("endpoint").String(batch.endpoint);
  WriteText(out, "model", batch.model);
  out.Key("errors");
  if (batch.errors.empty()) {
    out.Null();
  } else {
    out.BeginObject().Key("object").String("list").Key("data").Raw(batch.errors).EndObject();
  }
  out.Key("input_file_id").String(batch.input_file_id).Key("completion_window").String(batch.window);
  out.Key("status").String(batch.status);
  WriteText(out, "output_file_id", batch.output_file_id);
  WriteText(out, "error_file_id", batch.error_file_id);
  WriteTime(out, "created_at", batch.created);
  WriteTime(out, "in_progress_at", batch.in_progress);
  WriteTime(out, "expires_at", batch.expires);
  WriteTime(out, "finalizing_at", batch.finalizing);
  WriteTime(out, "completed_at", batch.completed);
  WriteTime(out, "failed_at", batch.failed);
  WriteTime(out, "expired_at", batch.expired);
  WriteTime(out, "cancelling_at", batch.cancelling);
  WriteTime(out, "cancelled_at", batch.cancelled);
  out.Key("request_counts").BeginObject().Key("total").Int(batch.n_total);
  out.Key("completed").Int(batch.n_completed).Key("failed").Int(batch.n_failed).EndObject();
  out.Key("metadata").Raw(batch.metadata).EndObject();
}

// Null when the error was sent.
BatchStore* BatchesOf(const Call& call) {
  BatchStore* batches = call.service.options.storage.batches.get();
  if (batches == nullptr) call.exchange->SendError(NeedsDataDir());
  return batches;
}

void SendBatch(const Call& call, const Result<std::optional<Batch>>& batch) {
  if (!batch) return call.exchange->SendError(FromStatus(batch.error()));
  if (!*batch) {
    ApiError error = BadField("batch_id",
                              fmt::format("No batch found with id '{}'.",
                                          ReplaceInvalidUtf8(std::string_view(call.params[0]).substr(0, 100))),
                              "not_found");
    error.http_status = 404;
    return call.exchange->SendError(error);
  }
  JsonWriter out;
  WriteBatch(out, **batch);
  call.exchange->SendJson(200, out.Take());
}

// "24h" to "336h", or "1d" to "14d".
ApiResult<std::chrono::seconds> ReadWindow(std::string_view text) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, text.data() + text.size() - end);
  if (error == std::errc() && unit == "h" && count >= 24 && count <= 336) return std::chrono::hours(count);
  if (error == std::errc() && unit == "d" && count >= 1 && count <= 14) return std::chrono::hours(24 * count);
  return Fail(BadField("completion_window",
                       "Invalid value for 'completion_window': expected '24h' to '336h', or '1d' to '14d'.",
                       "invalid_value"));
}

ApiResult<std::string> ReadBatchMetadata(const ObjectReader& body) {
  QUERN_API_ASSIGN(std::string metadata, ReadMetadata(body));
  QUERN_API_ASSIGN(const json::object* given, body.Object("metadata"));
  if (given == nullptr) return metadata;
  for (const auto& [name, most] : {std::pair<const char*, size_t>{"ds_name", 100}, {"ds_description", 200}}) {
    const json::value* value = given->if_contains(name);
    if (value == nullptr || !value->is_string() || value->get_string().size() <= most) continue;
    return Fail(BadField(fmt::format("metadata.{}", name),
                         fmt::format("Invalid value for 'metadata.{}': at most {} bytes are allowed.", name, most),
                         "invalid_value"));
  }
  return metadata;
}

ApiResult<Batch> ReadBatch(const ObjectReader& body, std::chrono::seconds& window) {
  Batch batch;
  QUERN_API_ASSIGN(batch.input_file_id, body.NeedString("input_file_id"));
  QUERN_API_ASSIGN(const std::string_view endpoint, body.NeedString("endpoint"));
  if (std::find(std::begin(kEndpoints), std::end(kEndpoints), endpoint) == std::end(kEndpoints)) {
    return Fail(BadField("endpoint",
                         fmt::format("Invalid value for 'endpoint': '{}' is not one of '{}'.", endpoint.substr(0, 100),
                                     fmt::join(kEndpoints, "', '")),
                         "invalid_value"));
  }
  batch.endpoint = endpoint;
  QUERN_API_ASSIGN(const std::string_view text, body.NeedString("completion_window"));
  QUERN_API_ASSIGN(window, ReadWindow(text));
  batch.window = text;
  QUERN_API_ASSIGN(batch.metadata, ReadBatchMetadata(body));
  return batch;
}

void CreateBatch(const Call& call) {
  BatchStore* const batches = BatchesOf(call);
  if (batches == nullptr) return;
  std::chrono::seconds window{};
  ApiResult<Batch> batch = [&]() -> ApiResult<Batch> {
    QUERN_API_ASSIGN(const json::value document, ReadBody(*call.exchange));
    return ReadBatch(ObjectReader(document.get_object(), ""), window);
  }();
  if (!batch) return call.exchange->SendError(batch.error());
  batch->owner = call.exchange->owner();
  const Result<Batch> added = batches->Add(*std::move(batch), window, call.exchange->limits().max_open_batches);
  if (!added) {
    ApiError error = FromStatus(added.error());
    if (added.error().code() == Code::kNotFound) {
      error = BadField("input_file_id", "Invalid 'input_file_id': " + added.error().message() + ".", "not_found");
    } else if (added.error().code() == Code::kExhausted) {
      error.http_status = 429;
      error.type = "rate_limit_error";
      error.code = "rate_limit_exceeded";
    }
    return call.exchange->SendError(error);
  }
  call.service.batches_changed();
  SendBatch(call, Result<std::optional<Batch>>(*added));
}

void GetBatch(const Call& call) {
  BatchStore* const batches = BatchesOf(call);
  if (batches != nullptr) SendBatch(call, batches->Get(call.exchange->owner(), call.params[0]));
}

void CancelBatch(const Call& call) {
  BatchStore* const batches = BatchesOf(call);
  if (batches == nullptr) return;
  const auto batch = batches->Cancel(call.exchange->owner(), call.params[0]);
  call.service.batches_changed();
  SendBatch(call, batch);
}

// ---- list ----

// yyyyMMddHHmmss, in UTC.
ApiResult<int64_t> ReadTime(const std::string& name, const std::string& text) {
  namespace ch = std::chrono;
  const auto bad = [&] {
    return Fail(
        BadField(name, fmt::format("Invalid value for '{}': expected yyyyMMddHHmmss, in UTC.", name), "invalid_value"));
  };
  if (text.size() != 14 || text.find_first_not_of("0123456789") != std::string::npos) return bad();
  const auto part = [&](size_t at, size_t n) { return std::stoi(text.substr(at, n)); };
  const ch::year_month_day day = ch::year(part(0, 4)) / part(4, 2) / part(6, 2);
  if (!day.ok() || part(8, 2) > 23 || part(10, 2) > 59 || part(12, 2) > 59) return bad();
  const auto time = ch::sys_days(day) + ch::hours(part(8, 2)) + ch::minutes(part(10, 2)) + ch::seconds(part(12, 2));
  return ch::duration_cast<ch::seconds>(time.time_since_epoch()).count();
}

// "a,b" -> a, b.
std::vector<std::string> SplitList(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size() && parts.size() < kMaxListed;) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

ApiResult<BatchFilter> ReadFilter(std::string_view query) {
  QUERN_API_ASSIGN(const PageQuery page, ReadPageQuery(query, 20, kMaxListed, true));
  BatchFilter filter;
  filter.after = page.after;
  filter.limit = page.limit;
  filter.name_part = QueryValue(query, "ds_name").value_or("");
  filter.statuses = SplitList(QueryValue(query, "status").value_or(""));
  filter.input_file_ids = SplitList(QueryValue(query, "input_file_ids").value_or(""));
  if (const auto from = QueryValue(query, "create_after")) {
    QUERN_API_ASSIGN(filter.created_from, ReadTime("create_after", *from));
  }
  if (const auto to = QueryValue(query, "create_before")) {
    QUERN_API_ASSIGN(filter.created_to, ReadTime("create_before", *to));
  }
  return filter;
}

void ListBatches(const Call& call) {
  BatchStore* const batches = BatchesOf(call);
  if (batches == nullptr) return;
  const ApiResult<BatchFilter> filter = ReadFilter(call.exchange->request().query);
  if (!filter) return call.exchange->SendError(filter.error());
  const Result<BatchPage> page = batches->List(call.exchange->owner(), *filter);
  if (!page) return call.exchange->SendError(ListError(page.error()));
  JsonWriter out;
  out.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (const Batch& batch : page->batches) WriteBatch(out, batch);
  out.EndArray();
  WriteListEnd(out, page->batches.empty() ? "" : page->batches.front().id,
               page->batches.empty() ? "" : page->batches.back().id, page->has_more);
  call.exchange->SendJson(200, out.EndObject().Take());
}

constexpr Route kRoutes[] = {
    {"batches.create", "POST", "/batches", kOpenAiMounts, &kOpenAiDialect, CreateBatch, "Begin a batch", false,
     &kBatchShape},
    {"batches.list", "GET", "/batches", kOpenAiMounts, &kOpenAiDialect, ListBatches, "List the batches"},
    {"batches.get", "GET", "/batches/{id}", kOpenAiMounts, &kOpenAiDialect, GetBatch, "Describe a batch"},
    {"batches.cancel", "POST", "/batches/{id}/cancel", kOpenAiMounts, &kOpenAiDialect, CancelBatch, "Cancel a batch"},
    {"chat.dry_run", "POST", "/chat/ds-test", kOpenAiMounts, &kOpenAiDialect, AnswerDryRun,
     "Answer a conversation without a model", false, &kChatShape},
};

}  // namespace

std::span<const Route> BatchRoutes() { return kRoutes; }

}  // namespace quern::api
