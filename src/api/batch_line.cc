#include "api/batch_line.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "api/json_reader.h"

namespace quern::api {

namespace json = boost::json;

namespace {

ApiResult<BatchLine> Read(std::string_view text, std::string_view endpoint, const Limits& limits) {
  const ApiResult<json::value> document = ParseBody(text, limits);
  if (!document) {
    return Fail(BadField("", "This line is not valid JSON: " + document.error().message, "invalid_json_line"));
  }
  if (!document->is_object()) {
    return Fail(BadField("", "This line is not a JSON object.", "invalid_json_line"));
  }
  const ObjectReader line(document->get_object(), "");
  BatchLine read;
  QUERN_API_ASSIGN(const std::string_view id, line.NeedString("custom_id"));
  if (id.empty() || id.size() > kMaxCustomIdBytes) {
    return Fail(BadField(
        "custom_id", fmt::format("'custom_id' must have 1 to {} bytes, this one has {}.", kMaxCustomIdBytes, id.size()),
        "invalid_custom_id"));
  }
  read.custom_id = id;
  QUERN_API_ASSIGN(const std::string_view method, line.NeedString("method"));
  if (method != "POST") {
    return Fail(
        BadField("method", fmt::format("'method' must be 'POST', not '{}'.", method.substr(0, 40)), "invalid_method"));
  }
  QUERN_API_ASSIGN(const std::string_view url, line.NeedString("url"));
  if (url != endpoint) {
    return Fail(BadField(
        "url",
        fmt::format("'url' is '{}', but the batch was made for the endpoint '{}'.", url.substr(0, 100), endpoint),
        "mismatched_endpoint"));
  }
  QUERN_API_ASSIGN(const json::object* body, line.Object("body"));
  if (body == nullptr) {
    return Fail(BadField("body", "Missing required parameter: 'body'.", "missing_required_parameter"));
  }
  QUERN_API_ASSIGN(const std::string_view model, ObjectReader(*body, "body").NeedString("model"));
  read.model = model;
  read.body = json::serialize(*body);
  return read;
}

}  // namespace

std::expected<BatchLine, BatchError> ReadBatchLine(std::string_view text, std::string_view endpoint,
                                                   int64_t line_number, const Limits& limits) {
  ApiResult<BatchLine> line = Read(text, endpoint, limits);
  if (line) return *std::move(line);
  const ApiError& error = line.error();
  return std::unexpected(BatchError{error.code, error.message, error.param, line_number});
}

}  // namespace quern::api
