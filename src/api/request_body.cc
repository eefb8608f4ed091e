#include "api/request_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "api/json_reader.h"
#include "api/shape.h"
#include "base/json.h"
#include "base/utf8.h"

namespace quern::api {

namespace {

// Media types: JSON or nothing said. Others are refused because a web page may send text/plain or a form to a loopback
// server without the browser asking first.
ApiResult<void> CheckContentType(const HttpRequest& request) {
  std::string type(request.Find("content-type"));
  std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) { return std::tolower(c); });
  const size_t end = type.find(';');
  std::string media = type.substr(0, end);
  while (!media.empty() && media.back() == ' ') media.pop_back();
  if (!media.empty() && media != "application/json" && !media.ends_with("+json")) {
    return Fail(BadField("content-type",
                         fmt::format("Unsupported content-type '{}': send the body as application/json.",
                                     ReplaceInvalidUtf8(media.substr(0, 80))),
                         "invalid_content_type"));
  }
  const size_t charset = type.find("charset=");
  if (charset == std::string::npos) return {};
  const std::string name = type.substr(charset + 8);
  if (name.starts_with("utf-8") || name.starts_with("utf8") || name.starts_with("\"utf-8\"")) return {};
  return Fail(BadField("content-type", "Unsupported charset: the body must be UTF-8.", "invalid_content_type"));
}

}  // namespace

ApiResult<boost::json::value> ReadBody(Exchange& exchange) {
  QUERN_API_TRY(CheckContentType(exchange.request()));
  QUERN_API_ASSIGN(boost::json::value document, ParseBody(exchange.request().body, exchange.limits()));
  // The text is not needed any more, and prompts are large.
  std::string().swap(exchange.mutable_request().body);
  if (!document.is_object()) {
    return Fail(BadField("",
                         fmt::format("We could not parse the JSON body of your request: expected an object, but got {} "
                                     "instead.",
                                     JsonKindName(document)),
                         "invalid_json"));
  }
  if (const Shape* shape = exchange.body_shape()) {
    QUERN_API_TRY(CheckShape(ObjectReader(document.get_object(), ""), *shape));
  }
  return document;
}

}  // namespace quern::api
