// Files that callers uploaded or that batches wrote (api.md G.7): what is known of them in the database, their contents
// as plain files in one folder. A file is there for its owner when its row is there; what a crash leaves without a row
// is swept when the store opens.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/os/output_file.h"
#include "base/status.h"
#include "store/database.h"

namespace quern::api {

struct FileInfo {
  std::string id;
  std::string filename;  // valid UTF-8
  std::string purpose;   // batch, batch_output
  int64_t n_bytes = 0;
  int64_t created = 0;  // seconds of 1970
  int64_t expires = 0;
};

struct FileLimits {
  size_t max_file_bytes;     // of one
  size_t max_files;          // of one owner
  uint64_t max_files_bytes;  // of one owner, together
  std::chrono::seconds retention;
};

struct FileFilter {
  std::string purpose;  // empty = any
  std::string after;    // id; empty = from the beginning
  bool newest_first = true;
  size_t limit = 10'000;
};

struct FilePage {
  std::vector<FileInfo> files;
  bool has_more = false;
};

// A content on its way in. Owned by whoever writes it, one thread; without Add nothing is left of it.
class NewFile {
 public:
  // Errors: kExhausted (max_file_bytes, or the disk is full), kInternal.
  Result<void> Write(std::string_view bytes);
  const std::string& id() const { return id_; }
  uint64_t n_bytes() const { return content_->n_bytes(); }

 private:
  friend class FileStore;
  NewFile(std::string id, std::unique_ptr<os::OutputFile> content, uint64_t max_bytes)
      : id_(std::move(id)), content_(std::move(content)), max_bytes_(max_bytes) {}

  std::string id_;
  std::unique_ptr<os::OutputFile> content_;
  uint64_t max_bytes_;
};

// A content being read, which goes on although the file is deleted meanwhile. One thread.
class FileContent {
 public:
  ~FileContent();
  FileContent(const FileContent&) = delete;
  FileContent& operator=(const FileContent&) = delete;

  uint64_t n_bytes() const { return n_bytes_; }
  // Up to n bytes from offset; empty at the end. Errors: kInternal.
  Result<std::string> Read(uint64_t offset, size_t n) const;

 private:
  friend class FileStore;
  FileContent(int fd, uint64_t n_bytes) : fd_(fd), n_bytes_(n_bytes) {}
  int fd_;
  uint64_t n_bytes_;
};

// Thread-safe. What others have does not exist for an owner.
class FileStore {
 public:
  using Now = std::function<std::chrono::system_clock::time_point()>;
  // folder exists and holds nothing but this store's files. Errors: those of the database and the folder.
  static Result<std::shared_ptr<FileStore>> Create(std::shared_ptr<store::Database> database,
                                                   std::filesystem::path folder, const FileLimits& limits,
                                                   Now now = std::chrono::system_clock::now);

  // For an upload. Errors: kExhausted (the owner has max_files or max_files_bytes: the message says which).
  Result<std::unique_ptr<NewFile>> Begin(std::string_view owner);
  // For what the server writes itself: no limits.
  Result<std::unique_ptr<NewFile>> BeginOutput();

  // Makes the content and its row durable. id, sizes and times are filled in. Errors: as Write, and kExhausted.
  Result<FileInfo> Add(std::string_view owner, std::unique_ptr<NewFile> file, FileInfo info);
  // The two halves of it, for whom the row is part of a larger transaction.
  static Result<void> CommitContent(NewFile& file);
  Result<FileInfo> AddRow(store::Transaction& transaction, std::string_view owner, const NewFile& file, FileInfo info);

  // Nothing when there is none (any more); a file that an unfinished batch reads stays.
  Result<std::optional<FileInfo>> Get(std::string_view owner, std::string_view id);
  // Null when there is none.
  Result<std::unique_ptr<FileContent>> Open(std::string_view owner, std::string_view id);
  // Errors: also kNotFound (`after` names none).
  Result<FilePage> List(std::string_view owner, const FileFilter& filter);
  // False when there was none. Errors: kUnsupported (a batch that is not over reads it).
  Result<bool> Delete(std::string_view owner, std::string_view id);

  // Removes what is older than the retention and read by no unfinished batch.
  Result<void> DropExpired();

 private:
  FileStore(std::shared_ptr<store::Database> database, std::filesystem::path folder, const FileLimits& limits, Now now)
      : database_(std::move(database)), folder_(std::move(folder)), limits_(limits), now_(std::move(now)) {}

  int64_t NowSeconds() const;
  Result<void> CheckRoom(store::Transaction& transaction, std::string_view owner, uint64_t n_more) const;
  Result<void> Sweep();

  const std::shared_ptr<store::Database> database_;
  const std::filesystem::path folder_;
  const FileLimits limits_;
  const Now now_;
};

}  // namespace quern::api
