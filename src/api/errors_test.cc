#include "api/dialect.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace quern::api {
namespace {

TEST(Errors, EveryStatusCodeHasItsAnswer) {
  struct Row {
    Code code;
    int status;
    const char* type;
    const char* api_code;
    bool retry;
  };
  const Row rows[] = {
      {Code::kInvalidArgument, 400, "invalid_request_error", "invalid_value", false},
      {Code::kNotFound, 404, "invalid_request_error", "not_found", false},
      {Code::kPermission, 403, "permission_error", "access_denied", false},
      {Code::kExhausted, 503, "server_error", "overloaded", true},
      {Code::kUnavailable, 503, "server_error", "model_unavailable", true},
      {Code::kCancelled, 499, "server_error", "cancelled", false},
      {Code::kDeadline, 503, "server_error", "time_limit_exceeded", true},
      {Code::kUnsupported, 400, "invalid_request_error", "unsupported", false},
      {Code::kCorrupt, 500, "server_error", "internal_error", false},
      {Code::kInternal, 500, "server_error", "internal_error", false},
  };
  for (const Row& row : rows) {
    const ApiError error = FromStatus(Status(row.code, "why"));
    EXPECT_EQ(error.http_status, row.status) << CodeName(row.code);
    EXPECT_EQ(error.type, row.type) << CodeName(row.code);
    EXPECT_EQ(error.code, row.api_code) << CodeName(row.code);
    EXPECT_EQ(error.retry_after_s > 0, row.retry) << CodeName(row.code);
    EXPECT_EQ(error.message, "why");
  }
  EXPECT_FALSE(FromStatus(Status(Code::kInternal, "")).message.empty()) << "clients need a message";
}

TEST(Errors, TheJsonHasEveryMember) {
  ApiError error = BadField("messages[2].content", "bad \"thing\"\n\xFF", "invalid_value");
  error.numbers = {{"n_prompt", 7}};
  const boost::json::value json = boost::json::parse(kOpenAiDialect.error_json(error, "id-1"));
  EXPECT_EQ(json.at("request_id"), "id-1");
  EXPECT_EQ(json.at("error").at("message"), "bad \"thing\"\n\xEF\xBF\xBD");
  EXPECT_EQ(json.at("error").at("type"), "invalid_request_error");
  EXPECT_EQ(json.at("error").at("param"), "messages[2].content");
  EXPECT_EQ(json.at("error").at("code"), "invalid_value");
  EXPECT_EQ(json.at("error").at("n_prompt"), 7);
  const boost::json::value bare = boost::json::parse(kOpenAiDialect.error_json(BadField("", "m"), ""));
  EXPECT_TRUE(bare.at("error").at("param").is_null());
  EXPECT_TRUE(bare.at("error").at("code").is_null());
  EXPECT_FALSE(bare.as_object().contains("request_id"));
}

}  // namespace
}  // namespace quern::api
