// Expected failures as values. Every function that can fail on bytes, files, network or user input returns
// Result<T>; the error side is a Status: one of a few canonical codes and a sentence that says what was being
// done, to what, and the value seen. Messages carry no secrets and no prompt text.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace quern {

// The table in api/ maps each code to an HTTP status and an API error type.
enum class Code {
  kInvalidArgument,  // the caller sent something that can never work
  kNotFound,         // no such file, model, route, item
  kPermission,       // known caller, not allowed
  kExhausted,        // a limit or quota is used up; the message names it
  kUnavailable,      // may work later (loading, queue full, peer down)
  kCancelled,        // the caller went away or asked to stop
  kDeadline,         // a time limit passed
  kUnsupported,      // well formed, but not something this build does
  kCorrupt,          // outside bytes contradict their format
  kInternal,         // our bug
};

// Stable lower-case name, e.g. "invalid_argument". Never empty.
std::string_view CodeName(Code code);

// An error. There is no "ok" Status: success is the value side of Result. Copyable, thread-compatible.
class [[nodiscard]] Status {
 public:
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same error with "<context>: " in front; used on the way up.
  Status WithContext(std::string_view context) const;

  // "<code name>: <message>", for logs and tests.
  std::string ToString() const;

 private:
  Code code_;
  std::string message_;
};

template <typename T>
using Result = std::expected<T, Status>;

// Shorthand for `return Error(Code::kCorrupt, fmt::format(...))` in a function that returns any Result<T>.
inline std::unexpected<Status> Error(Code code, std::string message) {
  return std::unexpected<Status>(Status(code, std::move(message)));
}

}  // namespace quern

#define QUERN_CONCAT_INNER(a, b) a##b
#define QUERN_CONCAT(a, b) QUERN_CONCAT_INNER(a, b)

// QUERN_TRY(expr): leave the function with expr's error, if it has one.
#define QUERN_TRY(expr)                                                             \
  do {                                                                              \
    if (auto quern_try_result = (expr); !quern_try_result.has_value()) {            \
      return std::unexpected<::quern::Status>(std::move(quern_try_result).error()); \
    }                                                                               \
  } while (false)

// QUERN_ASSIGN(auto x, expr): x is expr's value, or leave with its error.
#define QUERN_ASSIGN(lhs, expr) QUERN_ASSIGN_INNER(QUERN_CONCAT(quern_result_, __LINE__), lhs, expr)
#define QUERN_ASSIGN_INNER(tmp, lhs, expr)                           \
  auto tmp = (expr);                                                 \
  if (!tmp.has_value()) {                                            \
    return std::unexpected<::quern::Status>(std::move(tmp).error()); \
  }                                                                  \
  lhs = std::move(*tmp)
