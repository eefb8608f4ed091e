// OpenAI Responses, the JSON-in half: a checked request in plain values, and what its answer repeats of it. api.md C.1.
#pragma once

#include <boost/json/array.hpp>
#include <string>
#include <unordered_set>

#include "api/chat_request.h"
#include "api/errors.h"
#include "api/json_reader.h"
#include "api/kept_items.h"
#include "api/limits.h"
#include "api/served_model.h"

namespace quern::api {

// The answers that one caller has kept.
struct StoredTurns {
  KeptItems& store;
  std::string owner;
};

// What the answer needs beside the chat request.
struct ResponseFrame {
  bool store = true;
  std::string input;   // JSON array of all items the model is given, each with an id; only when store
  std::string echoed;  // JSON members that a response object repeats: "instructions":...,"tools":...
  std::unordered_set<std::string> custom_tools;  // their calls are custom_tool_call items
};

struct ResponsesRequest {
  ChatRequest chat;
  ResponseFrame frame;
};

// Also of input_tokens, whose body is the same. Errors: 400 naming the field; 404 previous_response_not_found.
ApiResult<ResponsesRequest> ReadResponsesRequest(const ObjectReader& body, const ServedModel& model,
                                                 const Limits& limits, const StoredTurns& stored);

// `instructions`, `previous_response_id` and `input` into request.messages. items: if not null, gets every item as
// GET /responses/{id}/input_items lists it.
ApiResult<void> ReadResponsesInput(const ObjectReader& body, const Limits& limits, const StoredTurns& stored,
                                   ChatRequest& request, boost::json::array* items);

// `tools`, `tool_choice` and `parallel_tool_calls`. Custom tools become functions with one parameter, "input".
ApiResult<void> ReadResponsesTools(const ObjectReader& body, const Limits& limits, ResponsesRequest& request);

// Text that this server wrote: a stored response or its items.
boost::json::value ParseStored(std::string_view text);

}  // namespace quern::api
