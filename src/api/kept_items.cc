#include "api/kept_items.h"

#include <fmt/format.h>

namespace quern::api {

namespace {

using store::Blob;
using store::Row;
using store::Transaction;

// What an item costs besides its texts: the row, its index entries, its parts.
constexpr int64_t kItemBytes = 512;
constexpr int64_t kPartBytes = 160;

constexpr std::string_view kTables = R"(
CREATE TABLE kept (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- by age
  kind INTEGER NOT NULL,
  owner BLOB NOT NULL,
  id TEXT NOT NULL,
  created INTEGER NOT NULL,               -- milliseconds of 1970
  n_bytes INTEGER NOT NULL,
  model TEXT NOT NULL,
  object TEXT NOT NULL,
  input TEXT NOT NULL,
  output TEXT NOT NULL,
  metadata TEXT NOT NULL,
  UNIQUE (kind, owner, id)
);
CREATE INDEX kept_created ON kept (created);
CREATE INDEX kept_owner ON kept (kind, owner);
CREATE TABLE kept_parts (
  owner BLOB NOT NULL,
  part TEXT NOT NULL,
  seq INTEGER NOT NULL REFERENCES kept (seq),
  PRIMARY KEY (owner, part)
) WITHOUT ROWID;
CREATE INDEX kept_parts_seq ON kept_parts (seq);
CREATE TABLE kept_total (n_bytes INTEGER NOT NULL);
INSERT INTO kept_total VALUES (0);
CREATE TRIGGER kept_added AFTER INSERT ON kept BEGIN
  UPDATE kept_total SET n_bytes = n_bytes + new.n_bytes;
END;
CREATE TRIGGER kept_changed AFTER UPDATE OF n_bytes ON kept BEGIN
  UPDATE kept_total SET n_bytes = n_bytes + new.n_bytes - old.n_bytes;
END;
CREATE TRIGGER kept_gone AFTER DELETE ON kept BEGIN
  UPDATE kept_total SET n_bytes = n_bytes - old.n_bytes;
  DELETE FROM kept_parts WHERE seq = old.seq;
END;
)";

constexpr std::string_view kFindSeq = "SELECT seq FROM kept WHERE kind = ? AND owner = ? AND id = ?";

int64_t BytesOf(const KeptItem& item) {
  return kItemBytes +
         static_cast<int64_t>(item.object.size() + item.input.size() + item.output.size() + item.model.size() +
                              item.metadata.size() + item.part_ids.size() * kPartBytes);
}

struct Found {
  int64_t seq = 0;  // 0 = none
  std::string id;
  std::string object;
};

// The first one behind `seq` in the order of the filter that has its model.
Result<Found> Next(Transaction& transaction, ItemKind kind, std::string_view owner, const KeptFilter& filter,
                   int64_t seq) {
  const std::string_view sql = filter.newest_first
                                   ? "SELECT seq, id, object FROM kept WHERE kind = ? AND owner = ? AND seq < ? AND "
                                     "(? = '' OR model = ?) ORDER BY seq DESC LIMIT 1"
                                   : "SELECT seq, id, object FROM kept WHERE kind = ? AND owner = ? AND seq > ? AND "
                                     "(? = '' OR model = ?) ORDER BY seq LIMIT 1";
  const std::string_view model = filter.model;
  Found found;
  QUERN_TRY(transaction.Query(sql, {static_cast<int64_t>(kind), Blob{owner}, seq, model, model}, [&](const Row& row) {
    found = {row.Int(0), std::string(row.Text(1)), std::string(row.Text(2))};
    return false;
  }));
  return found;
}

Result<bool> HasMetadata(Transaction& transaction, int64_t seq, const KeptFilter& filter) {
  for (const auto& [key, value] : filter.metadata) {
    QUERN_ASSIGN(const int64_t n_pairs,
                 transaction.QueryInt("SELECT count(*) FROM kept, json_each(kept.metadata) AS pair "
                                      "WHERE kept.seq = ? AND pair.key = ? AND pair.value = ?",
                                      {seq, std::string_view(key), std::string_view(value)}));
    if (n_pairs == 0) return false;
  }
  return true;
}

}  // namespace

Result<std::shared_ptr<KeptItems>> KeptItems::Create(std::shared_ptr<store::Database> database,
                                                     std::chrono::milliseconds retention, size_t max_bytes, Now now) {
  QUERN_TRY(database->Migrate("kept", {kTables}));
  return std::shared_ptr<KeptItems>(new KeptItems(std::move(database), retention, max_bytes, std::move(now)));
}

int64_t KeptItems::NowMs() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(now_().time_since_epoch()).count();
}

Result<void> KeptItems::DropExpired(Transaction& transaction) {
  QUERN_TRY(transaction.Run("DELETE FROM kept WHERE created <= ?", {NowMs() - int64_t{retention_.count()}}));
  return {};
}

Result<void> KeptItems::Erase(Transaction& transaction, int64_t seq) {
  QUERN_TRY(transaction.Run("DELETE FROM kept WHERE seq = ?", {seq}));
  return {};
}

Result<void> KeptItems::Put(ItemKind kind, std::string_view owner, std::string_view id, const KeptItem& item) {
  const int64_t n_bytes = BytesOf(item);
  Transaction transaction(*database_);
  QUERN_TRY(DropExpired(transaction));
  QUERN_ASSIGN(const int64_t known, transaction.QueryInt(kFindSeq, {static_cast<int64_t>(kind), Blob{owner}, id}));
  if (known != 0) QUERN_TRY(Erase(transaction, known));
  if (n_bytes > static_cast<int64_t>(max_bytes_)) return transaction.Commit();
  for (;;) {
    QUERN_ASSIGN(const int64_t total, transaction.QueryInt("SELECT n_bytes FROM kept_total"));
    if (total + n_bytes <= static_cast<int64_t>(max_bytes_)) break;
    QUERN_ASSIGN(const int64_t oldest, transaction.QueryInt("SELECT min(seq) FROM kept"));
    if (oldest == 0) break;
    QUERN_TRY(Erase(transaction, oldest));
  }
  QUERN_TRY(
      transaction.Run("INSERT INTO kept (kind, owner, id, created, n_bytes, model, object, input, output, metadata) "
                      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      {static_cast<int64_t>(kind), Blob{owner}, id, NowMs(), n_bytes, std::string_view(item.model),
                       std::string_view(item.object), std::string_view(item.input), std::string_view(item.output),
                       std::string_view(item.metadata)}));
  QUERN_ASSIGN(const int64_t seq, transaction.QueryInt(kFindSeq, {static_cast<int64_t>(kind), Blob{owner}, id}));
  for (const std::string& part : item.part_ids) {
    QUERN_TRY(transaction.Run("INSERT OR REPLACE INTO kept_parts (owner, part, seq) VALUES (?, ?, ?)",
                              {Blob{owner}, std::string_view(part), seq}));
  }
  return transaction.Commit();
}

Result<std::shared_ptr<const KeptItem>> KeptItems::Read(std::string_view sql,
                                                        std::initializer_list<store::Value> values) {
  Transaction transaction(*database_);
  QUERN_TRY(DropExpired(transaction));
  std::shared_ptr<KeptItem> item;
  QUERN_TRY(transaction.Query(sql, values, [&](const Row& row) {
    item = std::make_shared<KeptItem>();
    item->object = row.Text(0);
    item->input = row.Text(1);
    item->output = row.Text(2);
    item->model = row.Text(3);
    item->metadata = row.Text(4);
    return false;
  }));
  QUERN_TRY(transaction.Commit());
  return item;
}

Result<std::shared_ptr<const KeptItem>> KeptItems::Get(ItemKind kind, std::string_view owner, std::string_view id) {
  return Read("SELECT object, input, output, model, metadata FROM kept WHERE kind = ? AND owner = ? AND id = ?",
              {static_cast<int64_t>(kind), Blob{owner}, id});
}

Result<std::shared_ptr<const KeptItem>> KeptItems::FindByPart(std::string_view owner, std::string_view part_id) {
  return Read(
      "SELECT object, input, output, model, metadata FROM kept JOIN kept_parts USING (seq) "
      "WHERE kept_parts.owner = ? AND part = ?",
      {Blob{owner}, part_id});
}

Result<bool> KeptItems::Delete(ItemKind kind, std::string_view owner, std::string_view id) {
  Transaction transaction(*database_);
  QUERN_TRY(DropExpired(transaction));
  QUERN_ASSIGN(const int64_t n_gone, transaction.Run("DELETE FROM kept WHERE kind = ? AND owner = ? AND id = ?",
                                                     {static_cast<int64_t>(kind), Blob{owner}, id}));
  QUERN_TRY(transaction.Commit());
  return n_gone > 0;
}

Result<bool> KeptItems::Update(ItemKind kind, std::string_view owner, std::string_view id, const std::string& object,
                               const std::string& metadata) {
  Transaction transaction(*database_);
  QUERN_TRY(DropExpired(transaction));
  // length() counts characters of text and bytes of blobs.
  QUERN_ASSIGN(const int64_t n_changed,
               transaction.Run("UPDATE kept SET n_bytes = n_bytes + ? - length(CAST(object AS BLOB)) - "
                               "length(CAST(metadata AS BLOB)), object = ?, metadata = ? "
                               "WHERE kind = ? AND owner = ? AND id = ?",
                               {static_cast<int64_t>(object.size() + metadata.size()), std::string_view(object),
                                std::string_view(metadata), static_cast<int64_t>(kind), Blob{owner}, id}));
  QUERN_TRY(transaction.Commit());
  return n_changed > 0;
}

Result<KeptPage> KeptItems::List(ItemKind kind, std::string_view owner, const KeptFilter& filter) {
  Transaction transaction(*database_);
  QUERN_TRY(DropExpired(transaction));
  Found found{filter.newest_first ? INT64_MAX : 0, "", ""};
  if (!filter.after.empty()) {
    QUERN_ASSIGN(found.seq, transaction.QueryInt(kFindSeq, {static_cast<int64_t>(kind), Blob{owner}, filter.after}));
    if (found.seq == 0) return Error(Code::kNotFound, fmt::format("'{}' is not there", filter.after.substr(0, 100)));
  }
  KeptPage page;
  // One after the other, so that a long list is not read for a short page.
  for (;;) {
    QUERN_ASSIGN(found, Next(transaction, kind, owner, filter, found.seq));
    if (found.seq == 0) break;
    QUERN_ASSIGN(const bool wanted, HasMetadata(transaction, found.seq, filter));
    if (!wanted) continue;
    page.has_more = page.ids.size() == filter.limit;
    if (page.has_more) break;
    page.ids.push_back(std::move(found.id));
    page.objects.push_back(std::move(found.object));
  }
  QUERN_TRY(transaction.Commit());
  return page;
}

size_t KeptItems::n_bytes() {
  Transaction transaction(*database_);
  return static_cast<size_t>(transaction.QueryInt("SELECT n_bytes FROM kept_total").value_or(0));
}

}  // namespace quern::api
