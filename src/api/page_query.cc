#include "api/page_query.h"

#include <fmt/format.h>

#include "api/query.h"
#include "base/utf8.h"

namespace quern::api {

ApiResult<PageQuery> ReadPageQuery(std::string_view query, size_t default_limit, size_t max_limit, bool newest_first) {
  PageQuery page{default_limit, newest_first, QueryValue(query, "after").value_or("")};
  if (const auto limit = QueryValue(query, "limit")) {
    const auto count = ParseCount(*limit);
    if (!count || *count < 1 || static_cast<size_t>(*count) > max_limit) {
      return Fail(BadField("limit",
                           fmt::format("Invalid value for 'limit': expected an integer in [1, {}].", max_limit),
                           "invalid_value"));
    }
    page.limit = static_cast<size_t>(*count);
  }
  if (const auto order = QueryValue(query, "order")) {
    if (*order != "asc" && *order != "desc") {
      return Fail(BadField("order", "Invalid value for 'order': expected 'asc' or 'desc'.", "invalid_value"));
    }
    page.newest_first = *order == "desc";
  }
  return page;
}

ApiError ListError(const Status& status) {
  if (status.code() != Code::kNotFound) return FromStatus(status);
  return BadField("after", fmt::format("Invalid value for 'after': {}.", ReplaceInvalidUtf8(status.message())),
                  "invalid_value");
}

void WriteListEnd(JsonWriter& json, std::string_view first_id, std::string_view last_id, bool has_more) {
  json.Key("first_id");
  first_id.empty() ? json.Null() : json.String(first_id);
  json.Key("last_id");
  last_id.empty() ? json.Null() : json.String(last_id);
  json.Key("has_more").Bool(has_more);
}

}  // namespace quern::api
