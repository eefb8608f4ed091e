#include "api/file_routes.h"

#include <fmt/format.h>

#include "api/file_upload.h"
#include "api/json_writer.h"
#include "api/openai_routes.h"
#include "api/page_query.h"
#include "api/query.h"
#include "api/service_context.h"
#include "base/utf8.h"

namespace quern::api {

namespace {

constexpr size_t kPieceBytes = 256 * 1024;

// What the platform says of a file when it comes and afterwards; there is nothing to wait for in between.
constexpr std::string_view kJustCame = "uploaded";
constexpr std::string_view kThere = "processed";

void WriteFile(JsonWriter& json, const FileInfo& file, std::string_view status = kThere) {
  json.BeginObject().Key("id").String(file.id).Key("object").String("file");
  json.Key("bytes").Int(file.n_bytes).Key("created_at").Int(file.created).Key("expires_at").Int(file.expires);
  json.Key("filename").String(file.filename).Key("purpose").String(file.purpose);
  json.Key("status").String(status).Key("status_details").Null().EndObject();
}

// Null when the error was sent.
FileStore* FilesOf(const Call& call) {
  FileStore* files = call.service.options.storage.files.get();
  if (files == nullptr) call.exchange->SendError(NeedsDataDir());
  return files;
}

void SendNotFound(const Call& call) {
  ApiError error = BadField(
      "file_id",
      fmt::format("No such File object: {}", ReplaceInvalidUtf8(std::string_view(call.params[0]).substr(0, 100))),
      "not_found");
  error.http_status = 404;
  call.exchange->SendError(error);
}

std::shared_ptr<BodyTaker> BeginUpload(const ServiceContext& service, const HttpRequest& head) {
  const Storage& storage = service.options.storage;
  if (!storage.files) return nullptr;
  return std::make_shared<FileUpload>(FileUpload::Setup{storage.files, storage.uploads,
                                                        KeyCheck::OwnerOf(head, storage.owner_salt),
                                                        head.Find("content-type"), service.options.limits.max_uploads});
}

void CreateFile(const Call& call) {
  if (FilesOf(call) == nullptr) return;
  HttpRequest& request = call.exchange->mutable_request();
  std::shared_ptr<BodyTaker> taker = request.upload;
  if (!taker) {
    // A body that was collected, by whoever does not deliver piece by piece.
    taker = BeginUpload(call.service, request);
    taker->Take(request.body);
  }
  const ApiResult<FileInfo> file = static_cast<FileUpload&>(*taker).Finish();
  if (!file) return call.exchange->SendError(file.error());
  JsonWriter json;
  WriteFile(json, *file, kJustCame);
  call.exchange->SendJson(200, json.Take());
}

void ListFiles(const Call& call) {
  FileStore* const files = FilesOf(call);
  if (files == nullptr) return;
  const std::string& query = call.exchange->request().query;
  const ApiResult<PageQuery> page = ReadPageQuery(query, 10'000, 10'000, true);
  if (!page) return call.exchange->SendError(page.error());
  const auto found = files->List(call.exchange->owner(), {.purpose = QueryValue(query, "purpose").value_or(""),
                                                          .after = page->after,
                                                          .newest_first = page->newest_first,
                                                          .limit = page->limit});
  if (!found) return call.exchange->SendError(ListError(found.error()));
  JsonWriter json;
  json.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (const FileInfo& file : found->files) WriteFile(json, file);
  json.EndArray();
  WriteListEnd(json, found->files.empty() ? "" : found->files.front().id,
               found->files.empty() ? "" : found->files.back().id, found->has_more);
  call.exchange->SendJson(200, json.EndObject().Take());
}

void GetFile(const Call& call) {
  FileStore* const files = FilesOf(call);
  if (files == nullptr) return;
  const auto file = files->Get(call.exchange->owner(), call.params[0]);
  if (!file) return call.exchange->SendError(FromStatus(file.error()));
  if (!*file) return SendNotFound(call);
  JsonWriter json;
  WriteFile(json, **file);
  call.exchange->SendJson(200, json.Take());
}

// Sends a content piece by piece, as fast as the peer takes it. Kept by the exchange's callbacks.
class ContentAnswer : public std::enable_shared_from_this<ContentAnswer> {
 public:
  ContentAnswer(std::shared_ptr<Exchange> exchange, std::unique_ptr<FileContent> content)
      : exchange_(std::move(exchange)), content_(std::move(content)) {}

  void Start() {
    exchange_->sink().OnGone([self = shared_from_this()] { self->exchange_->MarkGone(); });
    exchange_->StartStream("application/jsonl");
    WriteNext();
  }

 private:
  void WriteNext() {
    const Result<std::string> piece = content_->Read(offset_, kPieceBytes);
    // A part of a file must not look like the whole of it.
    if (!piece) {
      exchange_->MarkGone();
      return exchange_->sink().Abort();
    }
    if (piece->empty()) return exchange_->EndStream(200);
    offset_ += piece->size();
    exchange_->WriteRaw(*piece);
    exchange_->Flush();
    exchange_->sink().OnDrained([self = shared_from_this()] { self->WriteNext(); });
  }

  const std::shared_ptr<Exchange> exchange_;
  const std::unique_ptr<FileContent> content_;
  uint64_t offset_ = 0;
};

void GetContent(const Call& call) {
  FileStore* const files = FilesOf(call);
  if (files == nullptr) return;
  auto content = files->Open(call.exchange->owner(), call.params[0]);
  if (!content) return call.exchange->SendError(FromStatus(content.error()));
  if (!*content) return SendNotFound(call);
  std::make_shared<ContentAnswer>(call.exchange, *std::move(content))->Start();
}

void DeleteFile(const Call& call) {
  FileStore* const files = FilesOf(call);
  if (files == nullptr) return;
  const std::string& id = call.params[0];
  const auto gone = files->Delete(call.exchange->owner(), id);
  if (!gone) return call.exchange->SendError(FromStatus(gone.error()));
  if (!*gone) return SendNotFound(call);
  JsonWriter json;
  json.BeginObject().Key("id").String(id).Key("object").String("file").Key("deleted").Bool(true).EndObject();
  call.exchange->SendJson(200, json.Take());
}

constexpr Route kRoutes[] = {
    {"files.create", "POST", "/files", kOpenAiMounts, &kOpenAiDialect, CreateFile, "Upload a file (multipart form)",
     false, nullptr, BeginUpload},
    {"files.list", "GET", "/files", kOpenAiMounts, &kOpenAiDialect, ListFiles, "List the files"},
    {"files.get", "GET", "/files/{id}", kOpenAiMounts, &kOpenAiDialect, GetFile, "Describe a file"},
    {"files.content", "GET", "/files/{id}/content", kOpenAiMounts, &kOpenAiDialect, GetContent, "Read a file"},
    {"files.delete", "DELETE", "/files/{id}", kOpenAiMounts, &kOpenAiDialect, DeleteFile, "Delete a file"},
};

}  // namespace

std::span<const Route> FileRoutes() { return kRoutes; }

}  // namespace quern::api
