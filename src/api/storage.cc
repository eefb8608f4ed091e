#include "api/storage.h"

#include <fmt/format.h>

namespace quern::api {

namespace {

Result<void> MakeFolder(const std::filesystem::path& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  // Prompts and answers are in it: for its owner alone.
  if (made) std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  if (!error) return {};
  return Error(Code::kPermission, fmt::format("making {}: {}", path.string(), error.message()));
}

Result<std::string> OwnerSalt(store::Database& database) {
  QUERN_TRY(database.Migrate("owners", {"CREATE TABLE owner_salt (salt BLOB NOT NULL);"
                                        "INSERT INTO owner_salt VALUES (randomblob(32));"}));
  std::string salt;
  store::Transaction transaction(database);
  QUERN_TRY(transaction.Query("SELECT salt FROM owner_salt", {}, [&](const store::Row& row) {
    salt = row.Text(0);
    return false;
  }));
  if (salt.size() == 32) return salt;
  return Error(Code::kCorrupt, "the database has no salt for its owners");
}

}  // namespace

Result<Storage> OpenStorage(const std::filesystem::path& data_dir, const Limits& limits) {
  if (!data_dir.empty()) QUERN_TRY(MakeFolder(data_dir));
  QUERN_ASSIGN(const std::shared_ptr<store::Database> database,
               store::Database::Open(data_dir.empty() ? data_dir : data_dir / "quern.db"));
  Storage storage;
  QUERN_ASSIGN(storage.owner_salt, OwnerSalt(*database));
  QUERN_ASSIGN(storage.kept, KeptItems::Create(database, limits.response_retention, limits.max_stored_bytes));
  if (data_dir.empty()) return storage;
  const auto folder = data_dir / "files";
  QUERN_TRY(MakeFolder(folder));
  const auto retention = std::chrono::duration_cast<std::chrono::seconds>(limits.file_retention);
  QUERN_ASSIGN(storage.files, FileStore::Create(database, folder,
                                                {.max_file_bytes = limits.max_file_bytes,
                                                 .max_files = limits.max_files,
                                                 .max_files_bytes = limits.max_files_bytes,
                                                 .retention = retention}));
  QUERN_ASSIGN(storage.batches, BatchStore::Create(database, storage.files, retention));
  return storage;
}

ApiError NeedsDataDir() {
  ApiError error = BadField("",
                            "This server keeps no files: files and batches need a place on disk. Start it with "
                            "--data-dir DIR.",
                            "data_dir_required");
  error.http_status = 403;
  error.type = "permission_error";
  return error;
}

}  // namespace quern::api
