#include "api/file_upload.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace quern::api {

namespace {

constexpr size_t kMaxFieldBytes = 4 * 1024;
constexpr size_t kMaxNameBytes = 255;
constexpr std::string_view kPurposes[] = {"batch"};

// Limits of what a key may keep are no matter of waiting, and one upload beyond its size is the client's own.
ApiError FromStore(const Status& status) {
  ApiError error = FromStatus(status);
  if (status.code() != Code::kExhausted) return error;
  const bool too_large = status.message().find("max_file_bytes") != std::string::npos;
  error.http_status = too_large ? 413 : 403;
  error.type = too_large ? "invalid_request_error" : "permission_error";
  error.code = too_large ? "request_too_large" : "file_quota_exceeded";
  error.retry_after_s = 0;
  return error;
}

// The last part of a path, cleaned: it is shown to people and names nothing here.
std::string CleanName(std::string_view name) {
  name.remove_prefix(std::min(name.size(), name.find_last_of("/\\") + 1));
  std::string clean = ReplaceInvalidUtf8(name);
  std::erase_if(clean, [](unsigned char c) { return c < 0x20 || c == 0x7F; });
  if (clean.size() > kMaxNameBytes) clean = ReplaceInvalidUtf8(std::string_view(clean).substr(0, kMaxNameBytes - 3));
  return clean.empty() ? "file" : clean;
}

}  // namespace

FileUpload::FileUpload(Setup setup)
    : files_(std::move(setup.files)), count_(std::move(setup.count)), owner_(std::move(setup.owner)) {
  if (++count_->n_open > setup.max_uploads) {
    error_ = FromStatus(Status(
        Code::kUnavailable, fmt::format("{} files are being uploaded already (limit max_uploads)", setup.max_uploads)));
    return;
  }
  const ApiResult<std::string> boundary = MultipartParser::BoundaryOf(setup.content_type);
  if (!boundary) {
    error_ = boundary.error();
    return;
  }
  parser_.emplace(*boundary, MultipartParser::Handler{[this](const MultipartPart& part) { return BeginPart(part); },
                                                      [this](std::string_view bytes) { return TakeData(bytes); },
                                                      []() -> ApiResult<void> { return {}; }});
}

FileUpload::~FileUpload() { --count_->n_open; }

bool FileUpload::Take(std::string_view bytes) {
  if (error_) return false;
  const ApiResult<void> fed = parser_->Feed(bytes);
  if (!fed) error_ = fed.error();
  return !error_;
}

ApiResult<void> FileUpload::BeginPart(const MultipartPart& part) {
  field_ = part.name == "purpose" ? &purpose_ : nullptr;
  in_file_ = part.name == "file";
  if (!in_file_) return {};
  if (file_) return Fail(BadField("file", "The form has more than one 'file'.", "invalid_multipart"));
  filename_ = CleanName(part.filename.value_or(""));
  Result<std::unique_ptr<NewFile>> file = files_->Begin(owner_);
  if (!file) return Fail(FromStore(file.error()));
  file_ = *std::move(file);
  return {};
}

ApiResult<void> FileUpload::TakeData(std::string_view bytes) {
  if (in_file_) {
    const Result<void> written = file_->Write(bytes);
    if (!written) return Fail(FromStore(written.error()));
  } else if (field_ != nullptr) {
    if (field_->size() + bytes.size() > kMaxFieldBytes) {
      return Fail(BadField("purpose", fmt::format("A field of the form has more than {} bytes.", kMaxFieldBytes),
                           "invalid_value"));
    }
    *field_ += bytes;
  }
  return {};
}

ApiResult<FileInfo> FileUpload::Finish() {
  if (!error_) {
    const ApiResult<void> ended = parser_->Finish();
    if (!ended) error_ = ended.error();
  }
  if (error_) return Fail(*error_);
  return Add();
}

ApiResult<FileInfo> FileUpload::Add() {
  if (!file_) return Fail(BadField("file", "Missing required parameter: 'file'.", "missing_required_parameter"));
  if (purpose_.empty()) {
    return Fail(BadField("purpose", "Missing required parameter: 'purpose'.", "missing_required_parameter"));
  }
  if (std::find(std::begin(kPurposes), std::end(kPurposes), purpose_) == std::end(kPurposes)) {
    return Fail(BadField("purpose",
                         fmt::format("Invalid value for 'purpose': '{}'. Files are kept for 'batch'.",
                                     ReplaceInvalidUtf8(purpose_.substr(0, 60))),
                         "invalid_value"));
  }
  FileInfo info;
  info.filename = filename_;
  info.purpose = purpose_;
  Result<FileInfo> added = files_->Add(owner_, std::move(file_), std::move(info));
  if (!added) return Fail(FromStore(added.error()));
  return *std::move(added);
}

}  // namespace quern::api
