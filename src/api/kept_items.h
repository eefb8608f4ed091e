// Answers that are kept for the caller who asked for them: responses (api.md C.4: previous_response_id, item
// references, GET /responses/{id}) and chat completions with `store` (A.2).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/database.h"

namespace quern::api {

enum class ItemKind : int64_t { kResponse = 1, kChatCompletion = 2 };  // numbers of the database

// Everything is JSON text: a kept conversation takes little more room than its bytes.
struct KeptItem {
  std::string object;                 // as it was answered
  std::string input;                  // array of all items or messages the model was given, earlier turns included
  std::string output;                 // array of the items it answered with
  std::vector<std::string> part_ids;  // of the items in output that FindByPart finds
  std::string model;
  std::string metadata = "{}";  // object of strings
};

// Which of them a list shows.
struct KeptFilter {
  std::string model;                                          // empty = any
  std::vector<std::pair<std::string, std::string>> metadata;  // all of these are there
  std::string after;                                          // id; empty = from the beginning
  bool newest_first = false;
  size_t limit = 20;
};

struct KeptPage {
  std::vector<std::string> objects;
  std::vector<std::string> ids;
  bool has_more = false;
};

// Thread-safe. owner tells whose an item is: what others keep under the same id does not exist for it. What is older
// than retention is gone; beyond max_bytes, all kinds and owners together, the oldest go first, and a single item
// beyond it is not kept at all. Errors of all calls: those of store::Transaction.
class KeptItems {
 public:
  using Now = std::function<std::chrono::system_clock::time_point()>;
  // Makes its tables. database may be shared with others.
  static Result<std::shared_ptr<KeptItems>> Create(std::shared_ptr<store::Database> database,
                                                   std::chrono::milliseconds retention, size_t max_bytes,
                                                   Now now = std::chrono::system_clock::now);

  // Replaces what the owner had under this kind and id.
  Result<void> Put(ItemKind kind, std::string_view owner, std::string_view id, const KeptItem& item);
  // Null when there is none (any more).
  Result<std::shared_ptr<const KeptItem>> Get(ItemKind kind, std::string_view owner, std::string_view id);
  // The response whose output holds this part.
  Result<std::shared_ptr<const KeptItem>> FindByPart(std::string_view owner, std::string_view part_id);
  // False when there was none.
  Result<bool> Delete(ItemKind kind, std::string_view owner, std::string_view id);
  // Changes the object and its metadata, and not when it goes. False when there is none.
  Result<bool> Update(ItemKind kind, std::string_view owner, std::string_view id, const std::string& object,
                      const std::string& metadata);
  // Errors: also kNotFound (`after` names none).
  Result<KeptPage> List(ItemKind kind, std::string_view owner, const KeptFilter& filter);

  size_t n_bytes();

 private:
  KeptItems(std::shared_ptr<store::Database> database, std::chrono::milliseconds retention, size_t max_bytes, Now now)
      : database_(std::move(database)), retention_(retention), max_bytes_(max_bytes), now_(std::move(now)) {}

  int64_t NowMs() const;
  Result<void> DropExpired(store::Transaction& transaction);
  Result<void> Erase(store::Transaction& transaction, int64_t seq);
  Result<std::shared_ptr<const KeptItem>> Read(std::string_view where_sql, std::initializer_list<store::Value> values);

  const std::shared_ptr<store::Database> database_;
  const std::chrono::milliseconds retention_;
  const size_t max_bytes_;
  const Now now_;
};

}  // namespace quern::api
