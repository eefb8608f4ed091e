// What outlives a request, and with a file a restart: one SQLite database, its schema in numbered steps, and
// transactions. SQL text is written in the rooms that own the tables; values only ever reach it as bound arguments.
//
// Durability: write-ahead log, synchronous=NORMAL. A committed transaction survives the end of the process at any
// instant (kill -9); after a loss of power the last moments may be missing, never half a transaction.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace quern::store {

// An argument of a statement. Text is bound as it is (UTF-8), Blob as bytes. Views need to live through the call only.
struct Blob {
  std::string_view bytes;
};
using Value = std::variant<std::monostate, int64_t, std::string_view, Blob>;

// One row of a result, valid inside the callback that it is given to. Columns from 0.
class Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t Int(int column) const;            // 0 for NULL
  std::string_view Text(int column) const;  // of text and of blobs; empty for NULL
  bool IsNull(int column) const;

 private:
  sqlite3_stmt* statement_;
};

// Thread-safe: transactions of several threads wait for each other.
class Database {
 public:
  // path: a file, made when it is not there, readable by its owner alone; empty = in memory. One process at a time
  // holds a file. Errors: kUnavailable (another process holds it), kCorrupt (not a database), kPermission, kNotFound
  // (no such folder).
  static Result<std::shared_ptr<Database>> Open(const std::filesystem::path& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Brings the tables of one owner of tables up to date: steps[i] is SQL that leads from version i to i + 1; steps that
  // were published are never changed. Errors: kUnsupported (the file was written by a newer program).
  Result<void> Migrate(std::string_view component, std::initializer_list<std::string_view> steps);

 private:
  friend class Transaction;

  explicit Database(sqlite3* handle) : handle_(handle) {}
  Result<sqlite3_stmt*> Prepare(std::string_view sql);
  Status ErrorNow(std::string_view doing) const;

  std::mutex mutex_;
  sqlite3* handle_;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;  // prepared once each; SQL texts are constants of ours
};

// Holds the database from construction to destruction; what was not committed by then is undone. One thread.
// Errors of all calls: kExhausted (the disk is full), kCorrupt (damaged file), kInternal.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // One statement without result; returns how many rows it changed.
  Result<int64_t> Run(std::string_view sql, std::initializer_list<Value> arguments = {});
  // One statement; fn sees every row, until it returns false.
  Result<void> Query(std::string_view sql, std::initializer_list<Value> arguments,
                     const std::function<bool(const Row&)>& fn);
  // The first column of the only row; 0 when there is none.
  Result<int64_t> QueryInt(std::string_view sql, std::initializer_list<Value> arguments = {});

  Result<void> Commit();

 private:
  Result<sqlite3_stmt*> Bound(std::string_view sql, std::initializer_list<Value> arguments);

  Database& database_;
  std::unique_lock<std::mutex> lock_;
  bool open_ = false;
  Result<void> begun_;
};

}  // namespace quern::store
