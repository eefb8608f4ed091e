// One call in Qwen2.5's form: {"name": "N", "arguments": {...}}, read byte by byte to its closing brace.
#pragma once

#include <optional>
#include <string>

namespace quern::chat {

class HermesCall {
 public:
  struct Call {
    std::string name;
    std::string arguments;  // JSON text of an object
  };

  // Takes the next byte, the first being '{'. True when it closes the object.
  bool Push(char c);

  // Whether a tag at this place ends the call: not inside a string, unless a raw line break shows that the string
  // lost its quote.
  bool MayEndHere() const { return !in_string_ || after_break_; }

  // What was read, or why it is no call.
  std::optional<Call> Read(std::string& why) const;

  const std::string& text() const { return text_; }

 private:
  std::string text_;
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool after_break_ = false;
};

}  // namespace quern::chat
