// Pieces of conversations that every dialect reads alike.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "api/errors.h"
#include "api/limits.h"
#include "chat/message.h"

namespace quern::api {

// A call's arguments from their JSON text; empty text is an empty object. What is no JSON object stays one string:
// agents replay truncated calls.
boost::json::value ParseCallArguments(std::string_view text);

// 400 beyond limits.max_content_parts.
ApiResult<void> CheckPartCount(const boost::json::array& parts, const std::string& path, const Limits& limits);

// Templates link results to calls by order alone: the results that follow a message with calls are put in the calls'
// order, and a call without a result gets an empty one, unless nothing follows at all.
void OrderToolResults(std::vector<chat::Message>& messages);

}  // namespace quern::api
