// Static API keys: kept as SHA-256 only, compared in constant time. Accounts replace this where there are any.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"

namespace quern::api {

// Immutable and thread-safe once filled.
class KeyCheck {
 public:
  void Add(std::string_view key);
  bool empty() const { return digests_.empty(); }

  enum class Verdict { kAllowed, kMissing, kWrong };
  // Authorization: Bearer, x-api-key or api-key, in this order. With no keys everybody is allowed.
  Verdict Check(const HttpRequest& request) const;

  // Whose what this request leaves here is: HMAC-SHA-256 of the key it came with, valid or not, under the storage's own
  // salt, so that a copy of the storage is no list of hashes to try keys on; empty without a key.
  static std::string OwnerOf(const HttpRequest& request, std::string_view salt);

 private:
  using Digest = std::array<uint8_t, 32>;
  static Digest Hash(std::string_view key);
  std::vector<Digest> digests_;
};

}  // namespace quern::api
