// Checked access to request JSON. `null` equals absent everywhere, 1.0 is accepted for an integer and 1 for a number,
// strings are never numbers or booleans. Errors name the path of the field: messages[2].content.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "api/errors.h"
#include "api/limits.h"

namespace quern::api {

// A request's body as one value, by base/json.h: numbers exact, no name twice in one object. Errors: 400 (not UTF-8,
// not JSON, deeper than limits.max_json_depth, more than limits.max_json_values values).
ApiResult<boost::json::value> ParseBody(std::string_view body, const Limits& limits);

// An integer written as 3 or 3.0; nothing for anything else.
std::optional<int64_t> AsInteger(const boost::json::value& value);

// Fields of one object. Refers to the document; cheap to copy.
class ObjectReader {
 public:
  ObjectReader(const boost::json::object& object, std::string path) : object_(&object), path_(std::move(path)) {}

  // The value, or nullptr when absent or null.
  const boost::json::value* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  // Absent gives nullopt or nullptr; a wrong kind or a value outside [min, max] gives 400 naming the path.
  ApiResult<std::optional<bool>> Bool(std::string_view name) const;
  ApiResult<std::optional<int64_t>> Int(std::string_view name, int64_t min = std::numeric_limits<int64_t>::min(),
                                        int64_t max = std::numeric_limits<int64_t>::max()) const;
  ApiResult<std::optional<double>> Number(std::string_view name, double min = -std::numeric_limits<double>::infinity(),
                                          double max = std::numeric_limits<double>::infinity()) const;
  ApiResult<std::optional<std::string_view>> String(std::string_view name) const;
  ApiResult<const boost::json::object*> Object(std::string_view name) const;
  ApiResult<const boost::json::array*> Array(std::string_view name) const;

  // A required non-null string.
  ApiResult<std::string_view> NeedString(std::string_view name) const;

  std::string PathOf(std::string_view name) const;
  const boost::json::object& object() const { return *object_; }
  const std::string& path() const { return path_; }

 private:
  const boost::json::object* object_;
  std::string path_;
};

// 400 "'path' must be <expected>, got <kind>".
ApiError WrongKind(const std::string& path, std::string_view expected, const boost::json::value& value);

}  // namespace quern::api
