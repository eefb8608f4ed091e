#include "api/response_store.h"

#include <utility>

namespace quern::api {

namespace {

// What an entry costs besides its texts: the node, the maps' nodes, the counted pointer.
constexpr size_t kEntryBytes = 512;
constexpr size_t kItemBytes = 160;

}  // namespace

MemoryResponseStore::MemoryResponseStore(std::chrono::milliseconds retention, size_t max_bytes,
                                         std::function<Clock::time_point()> now)
    : retention_(retention), max_bytes_(max_bytes), now_(std::move(now)) {}

std::string MemoryResponseStore::KeyOf(const std::string& owner, const std::string& id) { return owner + '/' + id; }

void MemoryResponseStore::Put(const std::string& owner, const std::string& id, StoredResponse response) {
  const size_t n_bytes = kEntryBytes + response.response.size() + response.input.size() + response.output.size() +
                         response.item_ids.size() * kItemBytes;
  const std::lock_guard lock(mutex_);
  DropExpired();
  if (const auto known = by_id_.find(KeyOf(owner, id)); known != by_id_.end()) Erase(known->second);
  if (n_bytes > max_bytes_) return;
  while (n_bytes_ + n_bytes > max_bytes_) Erase(entries_.begin());
  entries_.push_back({KeyOf(owner, id), owner, std::make_shared<const StoredResponse>(std::move(response)), n_bytes,
                      now_() + retention_});
  const auto entry = std::prev(entries_.end());
  n_bytes_ += n_bytes;
  by_id_[entry->key] = entry;
  for (const std::string& item : entry->response->item_ids) by_item_[KeyOf(owner, item)] = entry;
}

std::shared_ptr<const StoredResponse> MemoryResponseStore::Get(const std::string& owner, const std::string& id) {
  const std::lock_guard lock(mutex_);
  DropExpired();
  const auto found = by_id_.find(KeyOf(owner, id));
  return found == by_id_.end() ? nullptr : found->second->response;
}

std::shared_ptr<const StoredResponse> MemoryResponseStore::FindItem(const std::string& owner,
                                                                    const std::string& item_id) {
  const std::lock_guard lock(mutex_);
  DropExpired();
  const auto found = by_item_.find(KeyOf(owner, item_id));
  return found == by_item_.end() ? nullptr : found->second->response;
}

bool MemoryResponseStore::Delete(const std::string& owner, const std::string& id) {
  const std::lock_guard lock(mutex_);
  DropExpired();
  const auto found = by_id_.find(KeyOf(owner, id));
  if (found == by_id_.end()) return false;
  Erase(found->second);
  return true;
}

size_t MemoryResponseStore::n_bytes() const {
  const std::lock_guard lock(mutex_);
  return n_bytes_;
}

void MemoryResponseStore::DropExpired() {
  const Clock::time_point now = now_();
  while (!entries_.empty() && entries_.front().expires <= now) Erase(entries_.begin());
}

void MemoryResponseStore::Erase(Entries::iterator entry) {
  for (const std::string& item : entry->response->item_ids) {
    const auto known = by_item_.find(KeyOf(entry->owner, item));
    if (known != by_item_.end() && known->second == entry) by_item_.erase(known);
  }
  by_id_.erase(entry->key);
  n_bytes_ -= entry->n_bytes;
  entries_.erase(entry);
}

}  // namespace quern::api
