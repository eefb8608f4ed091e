// DashScope native text generation, the JSON-in half. api.md D.1, D.2.
#pragma once

#include <boost/json/object.hpp>

#include "api/chat_request.h"
#include "api/errors.h"
#include "api/exchange.h"
#include "api/served_model.h"

namespace quern::api {

enum class DashScopeResult { kText, kMessage };

struct DashScopeRequest {
  ChatRequest chat;
  DashScopeResult result = DashScopeResult::kText;
  bool incremental = false;  // each frame holds only what is new
};

// The model that the body names. Errors: 400 BadRequest.EmptyModel, 404.
ApiResult<std::shared_ptr<const ServedModel>> ReadDashScopeModel(const boost::json::object& body,
                                                                 const ModelRegistry& models);

// body is consumed: its messages move into the request. Errors: 400, with the texts of api.md D.6 where it has one.
ApiResult<DashScopeRequest> ReadDashScopeRequest(boost::json::object body, const HttpRequest& http,
                                                 const ServedModel& model, const Limits& limits);

// `input` alone, for the tokenizer: messages, or a prompt as it stands (then chat.messages is empty).
struct DashScopeInput {
  ChatRequest chat;
  std::string prompt;
};
ApiResult<DashScopeInput> ReadDashScopeInput(boost::json::object body, const ServedModel& model, const Limits& limits);

}  // namespace quern::api
