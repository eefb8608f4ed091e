#include "api/key_check.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/check.h"

namespace quern::api {

namespace {

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r' || text.back() == '\n')) {
    text.remove_suffix(1);
  }
  return text;
}

std::string_view PresentedKey(const HttpRequest& request) {
  std::string_view bearer = Trimmed(request.Find("authorization"));
  constexpr std::string_view kScheme = "bearer ";
  if (bearer.size() > kScheme.size()) {
    bool matches = true;
    for (size_t i = 0; i < kScheme.size(); ++i) {
      const char c = bearer[i] >= 'A' && bearer[i] <= 'Z' ? static_cast<char>(bearer[i] - 'A' + 'a') : bearer[i];
      matches &= c == kScheme[i];
    }
    if (matches) return Trimmed(bearer.substr(kScheme.size()));
  }
  for (const char* name : {"x-api-key", "api-key"}) {
    const std::string_view key = Trimmed(request.Find(name));
    if (!key.empty()) return key;
  }
  return {};
}

}  // namespace

KeyCheck::Digest KeyCheck::Hash(std::string_view key) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

std::string KeyCheck::OwnerOf(const HttpRequest& request, std::string_view salt) {
  const std::string_view key = PresentedKey(request);
  if (key.empty()) return {};
  Digest digest;
  unsigned int n_bytes = 0;
  const unsigned char* const made =
      HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()), reinterpret_cast<const unsigned char*>(key.data()),
           key.size(), digest.data(), &n_bytes);
  QUERN_CHECK(made != nullptr && n_bytes == digest.size());
  return {digest.begin(), digest.end()};
}

void KeyCheck::Add(std::string_view key) { digests_.push_back(Hash(Trimmed(key))); }

KeyCheck::Verdict KeyCheck::Check(const HttpRequest& request) const {
  if (digests_.empty()) return Verdict::kAllowed;
  const std::string_view key = PresentedKey(request);
  if (key.empty()) return Verdict::kMissing;
  const Digest digest = Hash(key);
  // Every stored digest is looked at, so that the time says nothing about which one was near.
  bool found = false;
  for (const Digest& stored : digests_) found |= CRYPTO_memcmp(stored.data(), digest.data(), digest.size()) == 0;
  return found ? Verdict::kAllowed : Verdict::kWrong;
}

}  // namespace quern::api
