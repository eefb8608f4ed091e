// Appends JSON text to a string: the only way responses are written. Slashes stay unescaped, non-ASCII stays UTF-8,
// numbers are shortest round-trip and never NaN or infinite.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quern::api {

// Text in must be valid UTF-8 except through SanitizedString. Commas are placed by the writer. Not thread-safe.
class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  JsonWriter& Key(std::string_view key);
  JsonWriter& String(std::string_view text);
  JsonWriter& SanitizedString(std::string_view bytes);  // invalid bytes become U+FFFD
  JsonWriter& Int(int64_t value);
  JsonWriter& Number(double value);  // minus infinity is written -9999.0, as OpenAI does
  JsonWriter& Logprob(float value);  // the same, with float's shortest digits
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  JsonWriter& Raw(std::string_view json);  // already JSON

  const std::string& text() const { return out_; }
  std::string Take() { return std::move(out_); }

 private:
  void Separate();

  std::string out_;
  bool need_comma_ = false;
};

}  // namespace quern::api
