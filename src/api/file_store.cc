#include "api/file_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <unordered_set>

#include "api/ids.h"

namespace quern::api {

namespace {

using store::Blob;
using store::Row;
using store::Transaction;

constexpr std::string_view kTables = R"(
CREATE TABLE files (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- by age
  id TEXT NOT NULL UNIQUE,
  owner BLOB NOT NULL,
  filename TEXT NOT NULL,
  purpose TEXT NOT NULL,
  n_bytes INTEGER NOT NULL,
  created INTEGER NOT NULL,               -- seconds of 1970
  expires INTEGER NOT NULL,
  n_readers INTEGER NOT NULL DEFAULT 0    -- unfinished batches that read it
);
CREATE INDEX files_owner ON files (owner);
)";

constexpr std::string_view kColumns = "id, filename, purpose, n_bytes, created, expires";

FileInfo InfoOf(const Row& row) {
  FileInfo info;
  info.id = row.Text(0);
  info.filename = row.Text(1);
  info.purpose = row.Text(2);
  info.n_bytes = row.Int(3);
  info.created = row.Int(4);
  info.expires = row.Int(5);
  return info;
}

}  // namespace

Result<void> NewFile::Write(std::string_view bytes) {
  if (content_->n_bytes() + bytes.size() > max_bytes_) {
    return Error(Code::kExhausted, fmt::format("the file is larger than {} bytes (limit max_file_bytes)", max_bytes_));
  }
  return content_->Write(std::as_bytes(std::span(bytes)));
}

FileContent::~FileContent() { close(fd_); }

Result<std::string> FileContent::Read(uint64_t offset, size_t n) const {
  std::string bytes(n, '\0');
  size_t n_read = 0;
  while (n_read < n) {
    const ssize_t got = pread(fd_, bytes.data() + n_read, n - n_read, static_cast<off_t>(offset + n_read));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error(Code::kInternal, fmt::format("reading a stored file: {}", std::strerror(errno)));
    if (got == 0) break;
    n_read += static_cast<size_t>(got);
  }
  bytes.resize(n_read);
  return bytes;
}

Result<std::shared_ptr<FileStore>> FileStore::Create(std::shared_ptr<store::Database> database,
                                                     std::filesystem::path folder, const FileLimits& limits, Now now) {
  QUERN_TRY(database->Migrate("files", {kTables}));
  std::shared_ptr<FileStore> store(new FileStore(std::move(database), std::move(folder), limits, std::move(now)));
  QUERN_TRY(store->Sweep());
  return store;
}

int64_t FileStore::NowSeconds() const {
  return std::chrono::duration_cast<std::chrono::seconds>(now_().time_since_epoch()).count();
}

Result<void> FileStore::Sweep() {
  std::unordered_set<std::string> known;
  Transaction transaction(*database_);
  QUERN_TRY(transaction.Query("SELECT id FROM files", {}, [&](const Row& row) {
    known.emplace(row.Text(0));
    return true;
  }));
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    std::error_code ignored;
    if (!known.contains(entry.path().filename().string())) std::filesystem::remove(entry.path(), ignored);
  }
  if (error) return Error(Code::kPermission, fmt::format("reading {}: {}", folder_.string(), error.message()));
  return {};
}

Result<void> FileStore::CheckRoom(Transaction& transaction, std::string_view owner, uint64_t n_more) const {
  uint64_t n_files = 0;
  uint64_t n_bytes = n_more;
  QUERN_TRY(
      transaction.Query("SELECT count(*), sum(n_bytes) FROM files WHERE owner = ?", {Blob{owner}}, [&](const Row& row) {
        n_files = static_cast<uint64_t>(row.Int(0));
        n_bytes += static_cast<uint64_t>(row.Int(1));
        return false;
      }));
  if (n_files >= limits_.max_files) {
    return Error(Code::kExhausted,
                 fmt::format("{} files are kept for this key already (limit max_files); delete some", n_files));
  }
  if (n_bytes > limits_.max_files_bytes) {
    return Error(Code::kExhausted, fmt::format("the files of this key would have {} bytes, more than {} (limit "
                                               "max_files_bytes); delete some",
                                               n_bytes, limits_.max_files_bytes));
  }
  return {};
}

Result<std::unique_ptr<NewFile>> FileStore::Begin(std::string_view owner) {
  {
    Transaction transaction(*database_);
    QUERN_TRY(CheckRoom(transaction, owner, 0));
  }
  QUERN_ASSIGN(std::unique_ptr<NewFile> file, BeginOutput());
  file->max_bytes_ = limits_.max_file_bytes;
  return file;
}

Result<std::unique_ptr<NewFile>> FileStore::BeginOutput() {
  std::string id = "file-batch-" + NewHexId();
  QUERN_ASSIGN(auto content, os::OutputFile::Create(folder_ / id));
  return std::unique_ptr<NewFile>(new NewFile(std::move(id), std::move(content), UINT64_MAX));
}

Result<void> FileStore::CommitContent(NewFile& file) { return file.content_->Commit(); }

Result<FileInfo> FileStore::AddRow(Transaction& transaction, std::string_view owner, const NewFile& file,
                                   FileInfo info) {
  info.id = file.id();
  info.n_bytes = static_cast<int64_t>(file.n_bytes());
  info.created = NowSeconds();
  info.expires = info.created + int64_t{limits_.retention.count()};
  QUERN_TRY(
      transaction.Run("INSERT INTO files (id, owner, filename, purpose, n_bytes, created, expires) "
                      "VALUES (?, ?, ?, ?, ?, ?, ?)",
                      {std::string_view(info.id), Blob{owner}, std::string_view(info.filename),
                       std::string_view(info.purpose), info.n_bytes, info.created, info.expires}));
  return info;
}

Result<FileInfo> FileStore::Add(std::string_view owner, std::unique_ptr<NewFile> file, FileInfo info) {
  QUERN_TRY(CommitContent(*file));
  Transaction transaction(*database_);
  Result<FileInfo> added = [&]() -> Result<FileInfo> {
    QUERN_TRY(CheckRoom(transaction, owner, file->n_bytes()));
    QUERN_ASSIGN(FileInfo row, AddRow(transaction, owner, *file, std::move(info)));
    QUERN_TRY(transaction.Commit());
    return row;
  }();
  std::error_code ignored;
  if (!added) std::filesystem::remove(folder_ / file->id(), ignored);
  return added;
}

Result<std::optional<FileInfo>> FileStore::Get(std::string_view owner, std::string_view id) {
  Transaction transaction(*database_);
  std::optional<FileInfo> info;
  static const std::string sql =
      fmt::format("SELECT {} FROM files WHERE owner = ? AND id = ? AND (expires > ? OR n_readers > 0)", kColumns);
  QUERN_TRY(transaction.Query(sql, {Blob{owner}, id, NowSeconds()}, [&](const Row& row) {
    info = InfoOf(row);
    return false;
  }));
  return info;
}

Result<std::unique_ptr<FileContent>> FileStore::Open(std::string_view owner, std::string_view id) {
  QUERN_ASSIGN(const std::optional<FileInfo> info, Get(owner, id));
  if (!info) return nullptr;
  const std::filesystem::path path = folder_ / info->id;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return nullptr;  // deleted this moment
  if (fd < 0) return Error(Code::kInternal, fmt::format("opening a stored file: {}", std::strerror(errno)));
  return std::unique_ptr<FileContent>(new FileContent(fd, static_cast<uint64_t>(info->n_bytes)));
}

Result<FilePage> FileStore::List(std::string_view owner, const FileFilter& filter) {
  Transaction transaction(*database_);
  int64_t first = filter.newest_first ? INT64_MAX : 0;
  if (!filter.after.empty()) {
    QUERN_ASSIGN(first, transaction.QueryInt("SELECT seq FROM files WHERE owner = ? AND id = ?",
                                             {Blob{owner}, std::string_view(filter.after)}));
    if (first == 0) return Error(Code::kNotFound, fmt::format("'{}' is not there", filter.after.substr(0, 100)));
  }
  static const auto sql_of = [](const char* behind, const char* order) {
    return fmt::format(
        "SELECT {} FROM files WHERE owner = ? AND expires > ? AND seq {} ? AND (? = '' OR purpose = ?) "
        "ORDER BY seq {} LIMIT ?",
        kColumns, behind, order);
  };
  static const std::string newest_first = sql_of("<", "DESC");
  static const std::string oldest_first = sql_of(">", "ASC");
  const std::string_view purpose = filter.purpose;
  FilePage page;
  QUERN_TRY(
      transaction.Query(filter.newest_first ? newest_first : oldest_first,
                        {Blob{owner}, NowSeconds(), first, purpose, purpose, static_cast<int64_t>(filter.limit) + 1},
                        [&](const Row& row) {
                          page.has_more = page.files.size() == filter.limit;
                          if (!page.has_more) page.files.push_back(InfoOf(row));
                          return !page.has_more;
                        }));
  return page;
}

Result<bool> FileStore::Delete(std::string_view owner, std::string_view id) {
  {
    Transaction transaction(*database_);
    QUERN_ASSIGN(const int64_t n_readers,
                 transaction.QueryInt("SELECT n_readers FROM files WHERE owner = ? AND id = ?", {Blob{owner}, id}));
    if (n_readers > 0) {
      return Error(Code::kUnsupported, fmt::format("file '{}' is read by a batch that is not over; cancel the batch "
                                                   "first",
                                                   id.substr(0, 100)));
    }
    QUERN_ASSIGN(const int64_t n_gone,
                 transaction.Run("DELETE FROM files WHERE owner = ? AND id = ?", {Blob{owner}, id}));
    if (n_gone == 0) return false;
    QUERN_TRY(transaction.Commit());
  }
  // id is one that a row had, and so one of ours.
  std::error_code ignored;
  std::filesystem::remove(folder_ / id, ignored);
  return true;
}

Result<void> FileStore::DropExpired() {
  std::vector<std::string> gone;
  {
    Transaction transaction(*database_);
    QUERN_TRY(transaction.Query("DELETE FROM files WHERE expires <= ? AND n_readers = 0 RETURNING id", {NowSeconds()},
                                [&](const Row& row) {
                                  gone.emplace_back(row.Text(0));
                                  return true;
                                }));
    QUERN_TRY(transaction.Commit());
  }
  std::error_code ignored;
  for (const std::string& id : gone) std::filesystem::remove(folder_ / id, ignored);
  return {};
}

}  // namespace quern::api
