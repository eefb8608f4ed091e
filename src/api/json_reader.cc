#include "api/json_reader.h"

#include <fmt/format.h>

#include <boost/json/memory_resource.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/stream_parser.hpp>
#include <cmath>
#include <new>

#include "base/utf8.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// Counts what a document holds and refuses to pass the cap. Boost.JSON turns the exception into our catch below; it
// never leaves Parse.
class CappedResource final : public json::memory_resource {
 public:
  explicit CappedResource(size_t cap) : left_(cap) {}

 private:
  void* do_allocate(size_t n, size_t align) override {
    if (n > left_) throw std::bad_alloc();
    void* p = ::operator new(n, std::align_val_t(align));
    left_ -= n;
    return p;
  }
  void do_deallocate(void* p, size_t n, size_t align) override {
    left_ += n;
    ::operator delete(p, n, std::align_val_t(align));
  }
  bool do_is_equal(const json::memory_resource& other) const noexcept override { return this == &other; }

  size_t left_;
};

ApiError NotJson(std::string message) {
  return BadField("", "We could not parse the JSON body of your request: " + std::move(message), "invalid_json");
}

// Where parsing stopped, for people: line and column count from 1.
std::string Place(std::string_view body, size_t at) {
  size_t line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i < at && i < body.size(); ++i) {
    if (body[i] == '\n') {
      ++line;
      line_start = i + 1;
    }
  }
  return fmt::format("line {} column {}", line, at - line_start + 1);
}

}  // namespace

struct JsonDocument::Impl {
  explicit Impl(size_t cap) : memory(cap) {}
  CappedResource memory;
  json::value root = json::value(json::storage_ptr(&memory));
};

JsonDocument::JsonDocument(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

const json::value& JsonDocument::root() const { return impl_->root; }

ApiResult<JsonDocument> JsonDocument::Parse(std::string_view body, const Limits& limits) {
  // Some Windows clients begin with a byte order mark.
  if (body.starts_with("\xEF\xBB\xBF")) body.remove_prefix(3);
  if (!IsValidUtf8(body)) return Fail(NotJson("it is not valid UTF-8"));
  auto impl = std::make_unique<Impl>(limits.max_json_bytes);
  json::parse_options options;
  options.max_depth = static_cast<size_t>(limits.max_json_depth);
  try {
    json::stream_parser parser(json::storage_ptr(&impl->memory), options);
    parser.reset(json::storage_ptr(&impl->memory));
    json::error_code error;
    const size_t n_read = parser.write_some(body.data(), body.size(), error);
    if (error == json::error::too_deep) {
      return Fail(NotJson(fmt::format("it is nested deeper than {} levels (limit max_json_depth)", options.max_depth)));
    }
    if (!error && n_read < body.size()) error = json::error::extra_data;
    if (error) return Fail(NotJson(fmt::format("{} at {}", error.message(), Place(body, n_read))));
    parser.finish(error);
    if (error) return Fail(NotJson(body.empty() ? "it is empty" : error.message() + " at its end"));
    impl->root = parser.release();
  } catch (const std::bad_alloc&) {
    return Fail(
        NotJson(fmt::format("it needs more than {} bytes of memory (limit max_json_bytes)", limits.max_json_bytes)));
  } catch (const std::exception& e) {
    return Fail(NotJson(e.what()));
  }
  return JsonDocument(std::move(impl));
}

json::value CopyValue(const json::value& value) { return json::value(value, json::storage_ptr()); }
json::object CopyObject(const json::object& object) { return json::object(object, json::storage_ptr()); }

std::string_view KindName(const json::value& value) {
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
  return "something else";
}

std::optional<int64_t> AsInteger(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64() && value.get_uint64() <= static_cast<uint64_t>(INT64_MAX)) {
    return static_cast<int64_t>(value.get_uint64());
  }
  if (value.is_double()) {
    const double number = value.get_double();
    // 2^53: beyond it a double no longer says which integer was meant.
    if (std::abs(number) <= 9007199254740992.0 && number == std::floor(number)) return static_cast<int64_t>(number);
  }
  return std::nullopt;
}

ApiError WrongKind(const std::string& path, std::string_view expected, const json::value& value) {
  return BadField(
      path, fmt::format("Invalid type for '{}': expected {}, but got {} instead.", path, expected, KindName(value)),
      "invalid_type");
}

std::string ObjectReader::PathOf(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const json::value* ObjectReader::Find(std::string_view name) const {
  const json::value* value = object_->if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

ApiResult<std::optional<bool>> ObjectReader::Bool(std::string_view name) const {
  const json::value* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_bool()) return Fail(WrongKind(PathOf(name), "a boolean", *value));
  return value->get_bool();
}

ApiResult<std::optional<int64_t>> ObjectReader::Int(std::string_view name, int64_t min, int64_t max) const {
  const json::value* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const std::string path = PathOf(name);
  if (!value->is_number()) return Fail(WrongKind(path, "an integer", *value));
  const std::optional<int64_t> number = AsInteger(*value);
  if (!number) {
    return Fail(BadField(path, fmt::format("Invalid value for '{}': expected an integer in [{}, {}].", path, min, max),
                         value->is_double() ? "invalid_type" : "invalid_value"));
  }
  if (*number < min || *number > max) {
    return Fail(
        BadField(path, fmt::format("Invalid value for '{}': {} is not in the range [{}, {}].", path, *number, min, max),
                 "invalid_value"));
  }
  return *number;
}

ApiResult<std::optional<double>> ObjectReader::Number(std::string_view name, double min, double max) const {
  const json::value* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const std::string path = PathOf(name);
  if (!value->is_number()) return Fail(WrongKind(path, "a number", *value));
  const double number = value->to_number<double>();
  if (!(number >= min && number <= max)) {
    return Fail(
        BadField(path, fmt::format("Invalid value for '{}': {} is not in the range [{}, {}].", path, number, min, max),
                 "invalid_value"));
  }
  return number;
}

ApiResult<std::optional<std::string_view>> ObjectReader::String(std::string_view name) const {
  const json::value* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return Fail(WrongKind(PathOf(name), "a string", *value));
  return std::string_view(value->get_string());
}

ApiResult<const json::object*> ObjectReader::Object(std::string_view name) const {
  const json::value* value = Find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) return Fail(WrongKind(PathOf(name), "an object", *value));
  return &value->get_object();
}

ApiResult<const json::array*> ObjectReader::Array(std::string_view name) const {
  const json::value* value = Find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) return Fail(WrongKind(PathOf(name), "an array", *value));
  return &value->get_array();
}

ApiResult<std::string_view> ObjectReader::NeedString(std::string_view name) const {
  QUERN_API_ASSIGN(const std::optional<std::string_view> text, String(name));
  if (!text) {
    const std::string path = PathOf(name);
    return Fail(BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter"));
  }
  return *text;
}

}  // namespace quern::api
