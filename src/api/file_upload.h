// The body of POST /files: a multipart form whose file goes to the disk while it arrives. api.md G.7.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/errors.h"
#include "api/file_store.h"
#include "api/http.h"
#include "api/multipart.h"

namespace quern::api {

// Counts the uploads under way; shared by all of one service.
struct UploadCount {
  std::atomic<int> n_open{0};
};

// One upload. Errors are kept and given by Finish, so that a body which cannot be used is not read to its end.
class FileUpload final : public BodyTaker {
 public:
  struct Setup {
    std::shared_ptr<FileStore> files;
    std::shared_ptr<UploadCount> count;
    std::string owner;
    std::string_view content_type;  // needed by the constructor only
    int max_uploads;
  };
  explicit FileUpload(Setup setup);
  ~FileUpload() override;

  bool Take(std::string_view bytes) override;
  // The whole body was taken. Once. Errors: 400 (malformed; no file, no purpose or an unknown one), 413
  // (max_file_bytes), 403 (max_files, max_files_bytes), 503 (max_uploads), 500.
  ApiResult<FileInfo> Finish();

 private:
  ApiResult<void> BeginPart(const MultipartPart& part);
  ApiResult<void> TakeData(std::string_view bytes);
  ApiResult<FileInfo> Add();

  const std::shared_ptr<FileStore> files_;
  const std::shared_ptr<UploadCount> count_;
  const std::string owner_;
  std::optional<MultipartParser> parser_;
  std::optional<ApiError> error_;
  std::string* field_ = nullptr;  // where the data of the part goes; null with in_file_ false = nowhere
  bool in_file_ = false;
  std::unique_ptr<NewFile> file_;
  std::string filename_;
  std::string purpose_;
};

}  // namespace quern::api
