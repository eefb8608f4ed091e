#include "base/json.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace quern {
namespace {

namespace json = boost::json;

// Builds the value and counts. A handler that is unhappy leaves a sentence in `problem` and any error code.
struct Builder {
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);
  using Error = json::error_code;

  explicit Builder(const JsonLimits& json_limits) : limits(json_limits) { stack.reset(); }

  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }
  bool on_array_begin(Error& error) { return Count(error); }
  bool on_array_end(size_t n, Error&) { return stack.push_array(n), true; }
  bool on_object_begin(Error& error) { return Count(error); }
  bool on_object_end(size_t n, Error& error) {
    if (!DropKeys(n, error)) return false;
    return stack.push_object(n), true;
  }
  bool on_string_part(json::string_view part, size_t, Error&) { return stack.push_chars(part), true; }
  bool on_string(json::string_view part, size_t, Error& error) {
    return Count(error) && (stack.push_string(part), true);
  }
  bool on_key_part(json::string_view part, size_t, Error&) {
    partial_key.append(part.data(), part.size());
    return stack.push_chars(part), true;
  }
  bool on_key(json::string_view part, size_t, Error&) {
    partial_key.append(part.data(), part.size());
    keys.push_back(std::exchange(partial_key, {}));
    return stack.push_key(part), true;
  }
  bool on_number_part(json::string_view part, Error&) {
    partial_number.append(part.data(), part.size());
    return true;
  }
  bool on_int64(int64_t value, json::string_view, Error& error) {
    partial_number.clear();
    return Count(error) && (stack.push_int64(value), true);
  }
  bool on_uint64(uint64_t value, json::string_view, Error& error) {
    partial_number.clear();
    return Count(error) && (stack.push_uint64(value), true);
  }
  // Boost 1.81 multiplies powers of ten and is often off in the last digit; from_chars is exact. Numbers beyond a
  // double's range it takes for infinite, which JSON cannot say.
  bool on_double(double value, json::string_view part, Error& error) {
    partial_number.append(part.data(), part.size());
    std::from_chars(partial_number.data(), partial_number.data() + partial_number.size(), value);
    if (!std::isfinite(value)) {
      problem = Status(Code::kCorrupt, fmt::format("the number {} is out of range", partial_number.substr(0, 60)));
      error = json::error::exponent_overflow;
      return false;
    }
    partial_number.clear();
    return Count(error) && (stack.push_double(value), true);
  }
  bool on_bool(bool value, Error& error) { return Count(error) && (stack.push_bool(value), true); }
  bool on_null(Error& error) { return Count(error) && (stack.push_null(), true); }
  bool on_comment_part(json::string_view, Error&) { return true; }
  bool on_comment(json::string_view, Error&) { return true; }

  bool Count(Error& error) {
    if (++n_values <= limits.max_values) return true;
    problem = Status(Code::kExhausted, fmt::format("more than the limit of {} values", limits.max_values));
    error = json::error::array_too_large;
    return false;
  }

  // The n keys of the object that ends here are the last n seen. Sorting instead of hashing: no input makes it slow.
  bool DropKeys(size_t n, Error& error) {
    const auto begin = keys.end() - static_cast<std::ptrdiff_t>(n);
    std::sort(begin, keys.end());
    const auto twice = std::adjacent_find(begin, keys.end());
    if (twice != keys.end()) {
      problem = Status(Code::kCorrupt, fmt::format("name \"{}\" stands twice in one object", twice->substr(0, 200)));
      error = json::error::extra_data;
      return false;
    }
    keys.erase(begin, keys.end());
    return true;
  }

  const JsonLimits& limits;
  json::value_stack stack;
  std::vector<std::string> keys;  // of all open objects, outermost first
  std::string partial_key;
  std::string partial_number;
  size_t n_values = 0;
  Status problem{Code::kCorrupt, ""};
};

std::string Place(std::string_view text, size_t at) {
  at = std::min(at, text.size());
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_start = before.rfind('\n');
  const size_t column = line_start == std::string_view::npos ? at + 1 : at - line_start;
  return fmt::format("line {} column {}", line, column);
}

// The code unit of the \uXXXX escape at `at`; nothing when there is none.
std::optional<unsigned> CodeUnitAt(std::string_view text, size_t at) {
  if (text.substr(at, 2) != "\\u" || text.size() - at < 6) return std::nullopt;
  unsigned unit = 0;
  const char* digits = text.data() + at + 2;
  const auto [end, failed] = std::from_chars(digits, digits + 4, unit, 16);
  if (failed != std::errc() || end != digits + 4) return std::nullopt;
  return unit;
}

// Where the first escape before `end` stands that is half of a surrogate pair without the other half; npos when there
// is none. Text is JSON up to `end`, so that a backslash stands in strings only.
size_t FindLoneSurrogate(std::string_view text, size_t end) {
  size_t at = text.find('\\');
  while (at < end) {
    const unsigned unit = CodeUnitAt(text, at).value_or(0);
    size_t n = unit != 0 ? 6 : 2;
    if (unit >= 0xD800 && unit < 0xE000) {
      const unsigned next = CodeUnitAt(text, at + 6).value_or(0);
      if (unit >= 0xDC00 || next < 0xDC00 || next >= 0xE000) return at;
      n = 12;
    }
    at = text.find('\\', at + n);
  }
  return std::string_view::npos;
}

Status LoneSurrogate(std::string_view text, size_t at) {
  return Status(
      Code::kCorrupt,
      fmt::format("JSON {} (byte offset {}): the escape {} is half of a surrogate pair and the other half does "
                  "not stand beside it; send both, or the character itself",
                  Place(text, at), at, text.substr(at, 6)));
}

}  // namespace

Result<boost::json::value> ParseJson(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Error(Code::kExhausted,
                 fmt::format("JSON text has {} bytes, more than the limit of {}", text.size(), limits.max_bytes));
  }
  try {
    json::parse_options options;
    options.max_depth = limits.max_depth;
    json::basic_parser<Builder> parser(options, limits);
    json::error_code error;
    const size_t consumed = parser.write_some(false, text.data(), text.size(), error);
    if (!error && consumed < text.size()) error = json::error::extra_data;
    if (error) {
      const std::string place = Place(text, consumed);
      const Status& problem = parser.handler().problem;
      if (!problem.message().empty()) return std::unexpected(problem.WithContext("JSON " + place));
      if (error == json::error::too_deep) {
        return Error(Code::kExhausted,
                     fmt::format("JSON {}: nested deeper than the limit of {}", place, limits.max_depth));
      }
      const size_t lone = FindLoneSurrogate(text, consumed);
      if (lone != std::string_view::npos) return std::unexpected(LoneSurrogate(text, lone));
      return Error(Code::kCorrupt, fmt::format("not JSON at {}: {}", place, error.message()));
    }
    return parser.handler().stack.release();
  } catch (const std::exception& failure) {
    return Error(Code::kExhausted, fmt::format("JSON text of {} bytes: {}", text.size(), failure.what()));
  }
}

std::string_view JsonKindName(const boost::json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
      return "an integer";
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "nothing";
}

}  // namespace quern
