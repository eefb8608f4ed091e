#include "api/batch_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/ids.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

using store::Blob;
using store::Row;
using store::Transaction;

constexpr std::string_view kTables = R"(
CREATE TABLE batches (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner BLOB NOT NULL,
  endpoint TEXT NOT NULL,
  input_file_id TEXT NOT NULL,
  window TEXT NOT NULL,
  metadata TEXT NOT NULL,
  model TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL,
  ending TEXT NOT NULL DEFAULT '',
  errors TEXT NOT NULL DEFAULT '',
  output_file_id TEXT NOT NULL DEFAULT '',
  error_file_id TEXT NOT NULL DEFAULT '',
  created INTEGER NOT NULL, in_progress INTEGER NOT NULL DEFAULT 0, expires INTEGER NOT NULL,
  finalizing INTEGER NOT NULL DEFAULT 0, completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0, cancelling INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
  n_total INTEGER NOT NULL DEFAULT 0, n_completed INTEGER NOT NULL DEFAULT 0, n_failed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX batches_owner ON batches (owner);
CREATE INDEX batches_status ON batches (status);
CREATE TABLE batch_lines (
  batch INTEGER NOT NULL REFERENCES batches (seq),
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,       -- offset in the input file
  n_bytes INTEGER NOT NULL,
  custom_id TEXT NOT NULL,
  n_attempts INTEGER NOT NULL DEFAULT 0,
  state INTEGER NOT NULL DEFAULT 0,  -- 0 pending, 1 completed, 2 failed
  output TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (batch, number)
) WITHOUT ROWID;
CREATE INDEX batch_lines_state ON batch_lines (batch, state, number);
)";

constexpr int64_t kCompleted = 1;
constexpr int64_t kFailed = 2;

constexpr std::string_view kSelect =
    "SELECT seq, id, owner, endpoint, input_file_id, window, metadata, model, status, ending, errors, output_file_id, "
    "error_file_id, created, in_progress, expires, finalizing, completed, failed, expired, cancelling, cancelled, "
    "n_total, n_completed, n_failed FROM batches";

constexpr std::string_view kIsOpen = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')";

Batch BatchOf(const Row& row) {
  Batch batch;
  batch.seq = row.Int(0);
  int column = 1;
  for (std::string* text :
       {&batch.id, &batch.owner, &batch.endpoint, &batch.input_file_id, &batch.window, &batch.metadata, &batch.model,
        &batch.status, &batch.ending, &batch.errors, &batch.output_file_id, &batch.error_file_id}) {
    *text = row.Text(column++);
  }
  for (int64_t* number :
       {&batch.created, &batch.in_progress, &batch.expires, &batch.finalizing, &batch.completed, &batch.failed,
        &batch.expired, &batch.cancelling, &batch.cancelled, &batch.n_total, &batch.n_completed, &batch.n_failed}) {
    *number = row.Int(column++);
  }
  return batch;
}

Result<std::optional<Batch>> Find(Transaction& transaction, std::string_view owner, std::string_view id) {
  static const std::string sql = fmt::format("{} WHERE owner = ? AND id = ?", kSelect);
  std::optional<Batch> batch;
  QUERN_TRY(transaction.Query(sql, {Blob{owner}, id}, [&](const Row& row) {
    batch = BatchOf(row);
    return false;
  }));
  return batch;
}

// A list of texts as a JSON array, which a statement takes as one argument.
std::string JsonList(const std::vector<std::string>& texts) {
  JsonWriter json;
  json.BeginArray();
  for (const std::string& text : texts) json.SanitizedString(text);
  json.EndArray();
  return json.Take();
}

std::string ErrorsJson(const std::vector<BatchError>& errors) {
  JsonWriter json;
  json.BeginArray();
  for (const BatchError& error : errors) {
    json.BeginObject().Key("code").String(error.code).Key("message").SanitizedString(error.message).Key("param");
    error.param.empty() ? json.Null() : json.SanitizedString(error.param);
    json.Key("line");
    error.line == 0 ? json.Null() : json.Int(error.line);
    json.EndObject();
  }
  json.EndArray();
  return json.Take();
}

Result<void> ReleaseInput(Transaction& transaction, int64_t seq) {
  QUERN_TRY(
      transaction.Run("UPDATE files SET n_readers = n_readers - 1 WHERE id = (SELECT input_file_id FROM batches "
                      "WHERE seq = ?)",
                      {seq}));
  return {};
}

}  // namespace

Result<std::shared_ptr<BatchStore>> BatchStore::Create(std::shared_ptr<store::Database> database,
                                                       std::shared_ptr<FileStore> files, std::chrono::seconds retention,
                                                       Now now) {
  QUERN_TRY(database->Migrate("batches", {kTables}));
  return std::shared_ptr<BatchStore>(new BatchStore(std::move(database), std::move(files), retention, std::move(now)));
}

int64_t BatchStore::NowSeconds() const {
  return std::chrono::duration_cast<std::chrono::seconds>(now_().time_since_epoch()).count();
}

// ---- callers ----

Result<Batch> BatchStore::Add(Batch batch, std::chrono::seconds window, size_t max_open) {
  Transaction transaction(*database_);
  static const std::string count_open = fmt::format("SELECT count(*) FROM batches WHERE owner = ? AND {}", kIsOpen);
  QUERN_ASSIGN(const int64_t n_open, transaction.QueryInt(count_open, {Blob{batch.owner}}));
  if (n_open >= static_cast<int64_t>(max_open)) {
    return Error(Code::kExhausted,
                 fmt::format("{} batches of this key are not over yet (limit max_open_batches)", n_open));
  }
  const int64_t now = NowSeconds();
  QUERN_ASSIGN(const int64_t n_files,
               transaction.Run("UPDATE files SET n_readers = n_readers + 1 WHERE owner = ? AND id = ? AND expires > ? "
                               "AND purpose = 'batch'",
                               {Blob{batch.owner}, std::string_view(batch.input_file_id), now}));
  if (n_files == 0) {
    return Error(Code::kNotFound,
                 fmt::format("there is no file '{}' with the purpose 'batch'", batch.input_file_id.substr(0, 100)));
  }
  batch.id = "batch_" + NewHexId();
  QUERN_TRY(transaction.Run(
      "INSERT INTO batches (id, owner, endpoint, input_file_id, window, metadata, status, created, expires) "
      "VALUES (?, ?, ?, ?, ?, ?, 'validating', ?, ?)",
      {std::string_view(batch.id), Blob{batch.owner}, std::string_view(batch.endpoint),
       std::string_view(batch.input_file_id), std::string_view(batch.window), std::string_view(batch.metadata), now,
       now + int64_t{window.count()}}));
  QUERN_ASSIGN(const std::optional<Batch> added, Find(transaction, batch.owner, batch.id));
  QUERN_TRY(transaction.Commit());
  return *added;
}

Result<std::optional<Batch>> BatchStore::Get(std::string_view owner, std::string_view id) {
  Transaction transaction(*database_);
  return Find(transaction, owner, id);
}

Result<BatchPage> BatchStore::List(std::string_view owner, const BatchFilter& filter) {
  Transaction transaction(*database_);
  int64_t first = INT64_MAX;
  if (!filter.after.empty()) {
    QUERN_ASSIGN(first, transaction.QueryInt("SELECT seq FROM batches WHERE owner = ? AND id = ?",
                                             {Blob{owner}, std::string_view(filter.after)}));
    if (first == 0) return Error(Code::kNotFound, fmt::format("'{}' is not there", filter.after.substr(0, 100)));
  }
  static const std::string sql = fmt::format(
      "{} WHERE owner = ? AND seq < ? AND created >= ? AND created <= ? "
      "AND (? = '[]' OR status IN (SELECT value FROM json_each(?))) "
      "AND (? = '[]' OR input_file_id IN (SELECT value FROM json_each(?))) "
      "AND (? = '' OR instr(coalesce(json_extract(metadata, '$.ds_name'), ''), ?) > 0) ORDER BY seq DESC LIMIT ?",
      kSelect);
  const std::string statuses = JsonList(filter.statuses);
  const std::string inputs = JsonList(filter.input_file_ids);
  BatchPage page;
  QUERN_TRY(transaction.Query(
      sql,
      {Blob{owner}, first, filter.created_from, filter.created_to, std::string_view(statuses),
       std::string_view(statuses), std::string_view(inputs), std::string_view(inputs),
       std::string_view(filter.name_part), std::string_view(filter.name_part), static_cast<int64_t>(filter.limit) + 1},
      [&](const Row& row) {
        page.has_more = page.batches.size() == filter.limit;
        if (!page.has_more) page.batches.push_back(BatchOf(row));
        return !page.has_more;
      }));
  return page;
}

Result<std::optional<Batch>> BatchStore::Cancel(std::string_view owner, std::string_view id) {
  Transaction transaction(*database_);
  QUERN_TRY(
      transaction.Run("UPDATE batches SET status = 'cancelling', cancelling = ? WHERE owner = ? AND id = ? AND "
                      "status IN ('validating', 'in_progress')",
                      {NowSeconds(), Blob{owner}, id}));
  QUERN_ASSIGN(std::optional<Batch> batch, Find(transaction, owner, id));
  QUERN_TRY(transaction.Commit());
  return batch;
}

// ---- the worker ----

Result<std::vector<Batch>> BatchStore::Open() {
  static const std::string sql = fmt::format("{} WHERE {} ORDER BY seq", kSelect, kIsOpen);
  Transaction transaction(*database_);
  std::vector<Batch> batches;
  QUERN_TRY(transaction.Query(sql, {}, [&](const Row& row) {
    batches.push_back(BatchOf(row));
    return true;
  }));
  return batches;
}

Result<void> BatchStore::FailValidation(int64_t seq, const std::vector<BatchError>& errors) {
  Transaction transaction(*database_);
  const std::string json = ErrorsJson(errors);
  QUERN_ASSIGN(const int64_t n_failed,
               transaction.Run("UPDATE batches SET status = 'failed', failed = ?, errors = ? WHERE seq = ? AND "
                               "status = 'validating'",
                               {NowSeconds(), std::string_view(json), seq}));
  if (n_failed > 0) QUERN_TRY(ReleaseInput(transaction, seq));
  return transaction.Commit();
}

Result<void> BatchStore::BeginProgress(int64_t seq, std::string_view model, const std::vector<BatchLinePlace>& lines) {
  Transaction transaction(*database_);
  QUERN_ASSIGN(const int64_t n_begun,
               transaction.Run("UPDATE batches SET status = 'in_progress', in_progress = ?, model = ?, n_total = ? "
                               "WHERE seq = ? AND status = 'validating'",
                               {NowSeconds(), model, static_cast<int64_t>(lines.size()), seq}));
  if (n_begun == 0) return {};  // cancelled meanwhile
  for (const BatchLinePlace& line : lines) {
    QUERN_TRY(transaction.Run("INSERT INTO batch_lines (batch, number, at, n_bytes, custom_id) VALUES (?, ?, ?, ?, ?)",
                              {seq, line.number, static_cast<int64_t>(line.offset), static_cast<int64_t>(line.n_bytes),
                               std::string_view(line.custom_id)}));
  }
  return transaction.Commit();
}

Result<std::vector<BatchLinePlace>> BatchStore::Pending(int64_t seq, int64_t behind, size_t n) {
  Transaction transaction(*database_);
  std::vector<BatchLinePlace> lines;
  QUERN_TRY(
      transaction.Query("SELECT number, at, n_bytes, custom_id, n_attempts FROM batch_lines "
                        "WHERE batch = ? AND state = 0 AND number > ? ORDER BY number LIMIT ?",
                        {seq, behind, static_cast<int64_t>(n)}, [&](const Row& row) {
                          lines.push_back({row.Int(0), static_cast<uint64_t>(row.Int(1)),
                                           static_cast<uint64_t>(row.Int(2)), std::string(row.Text(3)), row.Int(4)});
                          return true;
                        }));
  return lines;
}

Result<void> BatchStore::CountAttempt(int64_t seq, int64_t number, int64_t change) {
  Transaction transaction(*database_);
  QUERN_TRY(transaction.Run("UPDATE batch_lines SET n_attempts = n_attempts + ? WHERE batch = ? AND number = ?",
                            {change, seq, number}));
  return transaction.Commit();
}

Result<void> BatchStore::SetResult(int64_t seq, int64_t number, bool completed, std::string_view output) {
  Transaction transaction(*database_);
  QUERN_ASSIGN(
      const int64_t n_set,
      transaction.Run("UPDATE batch_lines SET state = ?, output = ? WHERE batch = ? AND number = ? AND state = 0",
                      {completed ? kCompleted : kFailed, output, seq, number}));
  if (n_set == 0) return {};
  QUERN_TRY(transaction.Run("UPDATE batches SET n_completed = n_completed + ?, n_failed = n_failed + ? WHERE seq = ?",
                            {int64_t{completed}, int64_t{!completed}, seq}));
  return transaction.Commit();
}

Result<void> BatchStore::BeginFinalizing(int64_t seq, std::string_view ending,
                                         const std::function<std::string(const BatchLinePlace&)>& missing) {
  for (;;) {
    // In portions: fifty thousand error lines need not be in memory together.
    QUERN_ASSIGN(const std::vector<BatchLinePlace> lines, Pending(seq, 0, 1000));
    if (lines.empty()) break;
    for (const BatchLinePlace& line : lines) QUERN_TRY(SetResult(seq, line.number, false, missing(line)));
  }
  Transaction transaction(*database_);
  QUERN_TRY(transaction.Run(
      "UPDATE batches SET status = CASE ? WHEN 'cancelled' THEN 'cancelling' ELSE 'finalizing' END, "
      "ending = ?, finalizing = CASE ? WHEN 'cancelled' THEN 0 ELSE ? END WHERE seq = ? AND ending = ''",
      {ending, ending, ending, NowSeconds(), seq}));
  return transaction.Commit();
}

Result<std::unique_ptr<NewFile>> BatchStore::WriteResults(int64_t seq, int64_t state) {
  std::unique_ptr<NewFile> file;
  int64_t behind = 0;
  for (;;) {
    std::string text;
    const int64_t before = behind;
    {
      Transaction transaction(*database_);
      QUERN_TRY(
          transaction.Query("SELECT number, output FROM batch_lines WHERE batch = ? AND state = ? AND number > ? ORDER "
                            "BY number LIMIT 64",
                            {seq, state, behind}, [&](const Row& row) {
                              behind = row.Int(0);
                              text += row.Text(1);
                              text += '\n';
                              return true;
                            }));
    }
    if (behind == before) return file;
    if (!file) {
      QUERN_ASSIGN(file, files_->BeginOutput());
    }
    QUERN_TRY(file->Write(text));
  }
}

Result<void> BatchStore::Finalize(const Batch& batch) {
  QUERN_ASSIGN(const std::unique_ptr<NewFile> output, WriteResults(batch.seq, kCompleted));
  QUERN_ASSIGN(const std::unique_ptr<NewFile> errors, WriteResults(batch.seq, kFailed));
  for (NewFile* file : {output.get(), errors.get()}) {
    if (file != nullptr) QUERN_TRY(FileStore::CommitContent(*file));
  }
  Transaction transaction(*database_);
  const auto add = [&](const std::unique_ptr<NewFile>& file, std::string_view what) -> Result<void> {
    if (!file) return {};
    FileInfo info;
    info.filename = fmt::format("{}_{}.jsonl", batch.id, what);
    info.purpose = "batch_output";
    QUERN_TRY(files_->AddRow(transaction, batch.owner, *file, std::move(info)));
    return {};
  };
  QUERN_TRY(add(output, "output"));
  QUERN_TRY(add(errors, "error"));
  const int64_t now = NowSeconds();
  QUERN_TRY(
      transaction.Run("UPDATE batches SET status = ending, output_file_id = ?, error_file_id = ?, "
                      "completed = CASE ending WHEN 'completed' THEN ? ELSE 0 END, expired = CASE ending WHEN "
                      "'expired' THEN ? ELSE 0 END, "
                      "cancelled = CASE ending WHEN 'cancelled' THEN ? ELSE 0 END WHERE seq = ?",
                      {output ? std::string_view(output->id()) : "", errors ? std::string_view(errors->id()) : "", now,
                       now, now, batch.seq}));
  QUERN_TRY(transaction.Run("DELETE FROM batch_lines WHERE batch = ?", {batch.seq}));
  QUERN_TRY(ReleaseInput(transaction, batch.seq));
  return transaction.Commit();
}

Result<void> BatchStore::DropExpired() {
  Transaction transaction(*database_);
  QUERN_TRY(transaction.Run("DELETE FROM batches WHERE max(completed, failed, expired, cancelled) BETWEEN 1 AND ?",
                            {NowSeconds() - int64_t{retention_.count()}}));
  return transaction.Commit();
}

}  // namespace quern::api
