#include "store/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace quern::store {

namespace {

Code CodeOf(int sqlite_code) {
  switch (sqlite_code & 0xFF) {
    case SQLITE_FULL:
      return Code::kExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Code::kCorrupt;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::kUnavailable;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return Code::kPermission;
    default:
      return Code::kInternal;
  }
}

struct Binder {
  sqlite3_stmt* statement;
  int at;
  int operator()(std::monostate) const { return sqlite3_bind_null(statement, at); }
  int operator()(int64_t value) const { return sqlite3_bind_int64(statement, at, value); }
  int operator()(std::string_view text) const {
    return sqlite3_bind_text64(statement, at, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_STATIC,
                               SQLITE_UTF8);
  }
  int operator()(Blob blob) const {
    return sqlite3_bind_blob64(statement, at, blob.bytes.data() == nullptr ? "" : blob.bytes.data(), blob.bytes.size(),
                               SQLITE_STATIC);
  }
};

int Execute(sqlite3* handle, const std::string& sql) {
  return sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr);
}

}  // namespace

int64_t Row::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string_view Row::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int n_bytes = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(bytes), n_bytes);
}

bool Row::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Result<std::shared_ptr<Database>> Database::Open(const std::filesystem::path& path) {
  const std::string name = path.empty() ? ":memory:" : path.string();
  if (!path.empty() && path.has_parent_path() && !std::filesystem::is_directory(path.parent_path())) {
    return Error(Code::kNotFound, fmt::format("{}: no such folder", path.parent_path().string()));
  }
  if (!path.empty()) {
    // Answers and prompts are in it: for its owner alone. The files that SQLite puts beside it take over its mode.
    const int file = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return Error(Code::kPermission, fmt::format("opening {}: {}", name, std::strerror(errno)));
    close(file);
  }
  sqlite3* handle = nullptr;
  const int opened =
      sqlite3_open_v2(name.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::shared_ptr<Database> database(new Database(handle));
  int code = opened;
  if (code == SQLITE_OK) code = Execute(handle, "PRAGMA locking_mode=EXCLUSIVE");
  if (code == SQLITE_OK) code = Execute(handle, "PRAGMA auto_vacuum=INCREMENTAL");
  if (code == SQLITE_OK) code = Execute(handle, "PRAGMA journal_mode=WAL");
  if (code == SQLITE_OK) code = Execute(handle, "PRAGMA synchronous=NORMAL");
  // Nothing that was deleted stays readable in the file.
  if (code == SQLITE_OK) code = Execute(handle, "PRAGMA secure_delete=ON");
  // Takes the lock now, so that a second process learns of the first at its start.
  if (code == SQLITE_OK) {
    code = Execute(handle,
                   "BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version "
                   "INTEGER NOT NULL); COMMIT");
  }
  // Room of what was deleted goes back to the disk.
  if (code == SQLITE_OK) code = Execute(handle, "PRAGMA incremental_vacuum");
  if (code == SQLITE_OK) return database;
  if (CodeOf(code) == Code::kUnavailable) {
    return Error(Code::kUnavailable, fmt::format("{} is in use by another process", name));
  }
  return std::unexpected(database->ErrorNow(fmt::format("opening {}", name)));
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

Status Database::ErrorNow(std::string_view doing) const {
  const int code = handle_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(handle_);
  return Status(CodeOf(code), fmt::format("{}: {}", doing, handle_ == nullptr ? "no memory" : sqlite3_errmsg(handle_)));
}

Result<void> Database::Migrate(std::string_view component, std::initializer_list<std::string_view> steps) {
  Transaction transaction(*this);
  QUERN_ASSIGN(const int64_t version,
               transaction.QueryInt("SELECT version FROM schema_versions WHERE component = ?", {component}));
  const auto n_steps = static_cast<int64_t>(steps.size());
  if (version > n_steps) {
    return Error(Code::kUnsupported, fmt::format("the tables of '{}' have version {}, this program knows {}: they were "
                                                 "written by a newer one",
                                                 component, version, n_steps));
  }
  for (int64_t i = version; i < n_steps; ++i) {
    if (Execute(handle_, std::string(steps.begin()[i])) != SQLITE_OK) {
      return std::unexpected(ErrorNow(fmt::format("making the tables of '{}', step {}", component, i + 1)));
    }
  }
  QUERN_TRY(transaction.Run("INSERT OR REPLACE INTO schema_versions (component, version) VALUES (?, ?)",
                            {component, n_steps}));
  return transaction.Commit();
}

Result<sqlite3_stmt*> Database::Prepare(std::string_view sql) {
  const auto known = statements_.find(std::string(sql));
  if (known != statements_.end()) return known->second;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                         nullptr) != SQLITE_OK) {
    return std::unexpected(ErrorNow(sql));
  }
  statements_.emplace(sql, statement);
  return statement;
}

Transaction::Transaction(Database& database) : database_(database), lock_(database.mutex_) {
  if (Execute(database_.handle_, "BEGIN IMMEDIATE") == SQLITE_OK) {
    open_ = true;
  } else {
    begun_ = std::unexpected(database_.ErrorNow("beginning a transaction"));
  }
}

Transaction::~Transaction() {
  if (open_) Execute(database_.handle_, "ROLLBACK");
}

Result<sqlite3_stmt*> Transaction::Bound(std::string_view sql, std::initializer_list<Value> arguments) {
  QUERN_TRY(begun_);
  QUERN_ASSIGN(sqlite3_stmt* const statement, database_.Prepare(sql));
  int at = 0;
  for (const Value& value : arguments) {
    if (std::visit(Binder{statement, ++at}, value) != SQLITE_OK) return std::unexpected(database_.ErrorNow(sql));
  }
  return statement;
}

Result<void> Transaction::Query(std::string_view sql, std::initializer_list<Value> arguments,
                                const std::function<bool(const Row&)>& fn) {
  QUERN_ASSIGN(sqlite3_stmt* const statement, Bound(sql, arguments));
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW && fn(Row(statement))) {
  }
  Result<void> result;
  if (code != SQLITE_ROW && code != SQLITE_DONE) result = std::unexpected(database_.ErrorNow(sql));
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return result;
}

Result<int64_t> Transaction::Run(std::string_view sql, std::initializer_list<Value> arguments) {
  QUERN_TRY(Query(sql, arguments, [](const Row&) { return true; }));
  return sqlite3_changes64(database_.handle_);
}

Result<int64_t> Transaction::QueryInt(std::string_view sql, std::initializer_list<Value> arguments) {
  int64_t value = 0;
  QUERN_TRY(Query(sql, arguments, [&](const Row& row) {
    value = row.Int(0);
    return false;
  }));
  return value;
}

Result<void> Transaction::Commit() {
  QUERN_TRY(begun_);
  if (Execute(database_.handle_, "COMMIT") != SQLITE_OK) {
    return std::unexpected(database_.ErrorNow("committing a transaction"));
  }
  open_ = false;
  return {};
}

}  // namespace quern::store
