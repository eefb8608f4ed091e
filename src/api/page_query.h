// The query of a list: which page of it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "api/errors.h"
#include "api/json_writer.h"

namespace quern::api {

struct PageQuery {
  size_t limit;
  bool newest_first;
  std::string after;  // id; empty = from the beginning
};

// `limit` in [1, max_limit], `order` asc or desc, `after`. Errors: 400 naming the parameter.
ApiResult<PageQuery> ReadPageQuery(std::string_view query, size_t default_limit, size_t max_limit, bool newest_first);

// The error of a list whose store found no `after`.
ApiError ListError(const Status& status);

// Closes the data of a list object: first_id, last_id (null when empty), has_more.
void WriteListEnd(JsonWriter& json, std::string_view first_id, std::string_view last_id, bool has_more);

}  // namespace quern::api
