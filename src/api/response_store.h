// Answers of the Responses API that are kept, for previous_response_id, item references and GET /responses/{id}.
// api.md C.4.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace quern::api {

// Everything is JSON text: a kept conversation takes little more memory than its bytes.
struct StoredResponse {
  std::string response;               // the object as it was answered
  std::string input;                  // array of all items the model was given, those of earlier turns included
  std::string output;                 // array of the items it answered with
  std::vector<std::string> item_ids;  // of output
};

// Thread-safe. owner tells whose an answer is: what others keep under the same id does not exist for it.
class ResponseStore {
 public:
  virtual ~ResponseStore() = default;

  virtual void Put(const std::string& owner, const std::string& id, StoredResponse response) = 0;
  // Null when there is none (any more).
  virtual std::shared_ptr<const StoredResponse> Get(const std::string& owner, const std::string& id) = 0;
  // The response whose output holds this item.
  virtual std::shared_ptr<const StoredResponse> FindItem(const std::string& owner, const std::string& item_id) = 0;
  // False when there was none.
  virtual bool Delete(const std::string& owner, const std::string& id) = 0;
};

// In memory. What is older than retention is gone; beyond max_bytes the oldest go first, and a single response beyond
// it is not kept at all.
class MemoryResponseStore final : public ResponseStore {
 public:
  using Clock = std::chrono::steady_clock;
  MemoryResponseStore(std::chrono::milliseconds retention, size_t max_bytes,
                      std::function<Clock::time_point()> now = Clock::now);

  void Put(const std::string& owner, const std::string& id, StoredResponse response) override;
  std::shared_ptr<const StoredResponse> Get(const std::string& owner, const std::string& id) override;
  std::shared_ptr<const StoredResponse> FindItem(const std::string& owner, const std::string& item_id) override;
  bool Delete(const std::string& owner, const std::string& id) override;

  size_t n_bytes() const;

 private:
  struct Entry {
    std::string key;
    std::string owner;
    std::shared_ptr<const StoredResponse> response;
    size_t n_bytes;
    Clock::time_point expires;
  };
  using Entries = std::list<Entry>;

  static std::string KeyOf(const std::string& owner, const std::string& id);
  void DropExpired();
  void Erase(Entries::iterator entry);

  const std::chrono::milliseconds retention_;
  const size_t max_bytes_;
  const std::function<Clock::time_point()> now_;
  mutable std::mutex mutex_;
  Entries entries_;  // oldest first
  std::unordered_map<std::string, Entries::iterator> by_id_;
  std::unordered_map<std::string, Entries::iterator> by_item_;
  size_t n_bytes_ = 0;
};

}  // namespace quern::api
