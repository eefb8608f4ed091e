// Batches and how far each of their lines is, in the database. Every step of a batch is one transaction, so that after
// a crash at any instant the batch goes on from a state that it was in.
//
//   validating -> in_progress -> finalizing -> completed
//        |             |             ^    \--> expired     (the window passed in in_progress)
//        v             v             |
//      failed      cancelling -------+-------> cancelled   (also from validating)
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/batch_line.h"
#include "api/file_store.h"
#include "base/status.h"
#include "store/database.h"

namespace quern::api {

struct Batch {
  int64_t seq = 0;  // of the database; by age
  std::string id;
  std::string owner;
  std::string endpoint;
  std::string input_file_id;
  std::string window;           // as the caller wrote it
  std::string metadata = "{}";  // object of strings
  std::string model;            // known when validated
  std::string status;
  std::string ending;                         // what it becomes when it is finalized: completed, expired, cancelled
  std::string errors;                         // JSON array; empty = none
  std::string output_file_id, error_file_id;  // empty = none
  // Seconds of 1970; 0 = not yet.
  int64_t created = 0, in_progress = 0, expires = 0, finalizing = 0, completed = 0, failed = 0, expired = 0,
          cancelling = 0, cancelled = 0;
  int64_t n_total = 0, n_completed = 0, n_failed = 0;

  bool IsOver() const {
    return status == "completed" || status == "failed" || status == "expired" || status == "cancelled";
  }
};

// Where a line stands in the input file.
struct BatchLinePlace {
  int64_t number = 0;  // from 1
  uint64_t offset = 0;
  uint64_t n_bytes = 0;
  std::string custom_id;
  int64_t n_attempts = 0;
};

struct BatchFilter {
  std::string after;  // id
  size_t limit = 20;
  std::string name_part;                    // of metadata.ds_name
  std::vector<std::string> statuses;        // any of these; empty = all
  std::vector<std::string> input_file_ids;  // any of these; empty = all
  int64_t created_from = 0, created_to = INT64_MAX;
};

struct BatchPage {
  std::vector<Batch> batches;
  bool has_more = false;
};

// Thread-safe. What others have does not exist for an owner. Errors of all calls: those of store::Transaction.
class BatchStore {
 public:
  using Now = std::function<std::chrono::system_clock::time_point()>;
  static Result<std::shared_ptr<BatchStore>> Create(std::shared_ptr<store::Database> database,
                                                    std::shared_ptr<FileStore> files, std::chrono::seconds retention,
                                                    Now now = std::chrono::system_clock::now);

  // ---- callers ----

  // Of batch: owner, endpoint, input_file_id, window and metadata. Errors: kNotFound (no such input file), kExhausted
  // (max_open of the owner's are not over).
  Result<Batch> Add(Batch batch, std::chrono::seconds window, size_t max_open);
  Result<std::optional<Batch>> Get(std::string_view owner, std::string_view id);
  Result<BatchPage> List(std::string_view owner, const BatchFilter& filter);  // newest first; also kNotFound (after)
  // The batch as it is now; one that is over or being cancelled stays as it is.
  Result<std::optional<Batch>> Cancel(std::string_view owner, std::string_view id);

  // ---- the worker ----

  // Not over, oldest first.
  Result<std::vector<Batch>> Open();
  Result<void> FailValidation(int64_t seq, const std::vector<BatchError>& errors);
  Result<void> BeginProgress(int64_t seq, std::string_view model, const std::vector<BatchLinePlace>& lines);
  // Lines without a result after line `behind`, up to n.
  Result<std::vector<BatchLinePlace>> Pending(int64_t seq, int64_t behind, size_t n);
  Result<void> CountAttempt(int64_t seq, int64_t number, int64_t change);
  // output: the line of the output or error file. A line that has a result keeps it.
  Result<void> SetResult(int64_t seq, int64_t number, bool completed, std::string_view output);
  // No line is left, or the window has passed, or it was cancelled: what has no result gets missing(line).
  Result<void> BeginFinalizing(int64_t seq, std::string_view ending,
                               const std::function<std::string(const BatchLinePlace&)>& missing);
  // Writes the output files and ends the batch.
  Result<void> Finalize(const Batch& batch);
  Result<void> DropExpired();

  int64_t NowSeconds() const;

 private:
  BatchStore(std::shared_ptr<store::Database> database, std::shared_ptr<FileStore> files,
             std::chrono::seconds retention, Now now)
      : database_(std::move(database)), files_(std::move(files)), retention_(retention), now_(std::move(now)) {}

  // Null when no line has this state.
  Result<std::unique_ptr<NewFile>> WriteResults(int64_t seq, int64_t state);

  const std::shared_ptr<store::Database> database_;
  const std::shared_ptr<FileStore> files_;
  const std::chrono::seconds retention_;
  const Now now_;
};

}  // namespace quern::api
