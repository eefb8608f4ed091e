#include "api/openai_chat.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>

#include "api/chat_grammar.h"
#include "api/tool_fields.h"

namespace quern::api {

namespace json = boost::json;

namespace {

ApiResult<void> ReadLogprobs(const ObjectReader& body, const Limits& limits, ChatRequest& request) {
  QUERN_API_ASSIGN(const auto logprobs, body.Bool("logprobs"));
  request.logprobs = logprobs.value_or(false);
  QUERN_API_ASSIGN(const auto top, body.Int("top_logprobs", 0, limits.max_top_logprobs));
  if (top && *top > 0 && !request.logprobs) {
    return Fail(BadField("top_logprobs", "Invalid value for 'top_logprobs': it needs 'logprobs' set to true.",
                         "invalid_value"));
  }
  request.top_logprobs = static_cast<int>(top.value_or(0));
  return {};
}

ApiResult<void> ReadModalities(const ObjectReader& body) {
  if (body.Has("audio")) {
    return Fail(BadField("audio", "'audio' output is not supported by this model.", "unsupported"));
  }
  QUERN_API_ASSIGN(const json::array* modalities, body.Array("modalities"));
  if (modalities == nullptr) return {};
  for (size_t i = 0; i < modalities->size(); ++i) {
    const json::value& item = (*modalities)[i];
    const std::string path = fmt::format("modalities[{}]", i);
    if (!item.is_string()) return Fail(WrongKind(path, "a string", item));
    if (item.get_string() != "text") {
      return Fail(BadField(path, "Only the modality 'text' is supported by this model.", "unsupported"));
    }
  }
  return {};
}

// Features that would change the answer, and that these models do not have.
ApiResult<void> RefuseUnsupported(const ObjectReader& body) {
  QUERN_API_ASSIGN(const auto search, body.Bool("enable_search"));
  if (search.value_or(false)) {
    return Fail(BadField("enable_search", "This model does not support enable_search.", "invalid_parameter_error"));
  }
  QUERN_API_ASSIGN(const auto thinking, body.Bool("enable_thinking"));
  if (thinking.value_or(false)) {
    return Fail(BadField("enable_thinking", "This model does not support enable_thinking.",
                         "InvalidParameter.NotSupportEnableThinking"));
  }
  QUERN_API_ASSIGN(const json::object* prediction, body.Object("prediction"));
  if (prediction != nullptr) {
    const ObjectReader reader(*prediction, "prediction");
    QUERN_API_ASSIGN(const std::string_view type, reader.NeedString("type"));
    if (type != "content") {
      return Fail(
          BadField("prediction.type", "Invalid value for 'prediction.type': expected 'content'.", "invalid_value"));
    }
    const json::value* content = reader.Find("content");
    if (content == nullptr || !(content->is_string() || content->is_array())) {
      return Fail(BadField("prediction.content", "'prediction.content' must be a string or an array of text parts.",
                           "invalid_type"));
    }
  }
  return {};
}

ApiResult<void> ReadTurnOptions(const ObjectReader& body, bool last_is_partial, ChatRequest& request) {
  QUERN_API_ASSIGN(const auto go_on, body.Bool("continue_final_message"));
  QUERN_API_ASSIGN(const auto open_turn, body.Bool("add_generation_prompt"));
  request.continue_final_message = last_is_partial || go_on.value_or(false);
  request.add_generation_prompt = open_turn.value_or(!request.continue_final_message);
  if (request.continue_final_message) {
    const chat::Message& last = request.messages.back();
    if (last.role != chat::Role::kAssistant || !last.tool_calls.empty()) {
      return Fail(BadField("continue_final_message",
                           "Only a final assistant message without tool calls can be continued.", "invalid_value"));
    }
    if (request.add_generation_prompt && !last_is_partial) {
      return Fail(BadField("add_generation_prompt",
                           "'add_generation_prompt' and 'continue_final_message' exclude each other.",
                           "invalid_value"));
    }
    request.add_generation_prompt = false;
  }
  QUERN_API_ASSIGN(const json::object* kwargs, body.Object("chat_template_kwargs"));
  if (kwargs != nullptr) request.template_kwargs = *kwargs;
  return {};
}

}  // namespace

ApiResult<ChatRequest> ReadChatRequest(const ObjectReader& body, const ServedModel& model, const Limits& limits,
                                       RoutePrefix prefix) {
  ChatRequest request;
  QUERN_API_ASSIGN(ReadMessages read, ReadChatMessages(body, limits));
  request.messages = std::move(read.messages);
  QUERN_API_ASSIGN(request.fields, ReadGenerationFields(body, model, limits, FieldsFor::kChat));
  QUERN_API_TRY(ReadChatTools(body, limits, prefix, request));
  if (prefix == RoutePrefix::kCompatibleMode) {
    QUERN_API_TRY(CheckJsonIsMentioned(request));
  }
  QUERN_API_TRY(ReadLogprobs(body, limits, request));
  QUERN_API_TRY(ReadModalities(body));
  QUERN_API_TRY(RefuseUnsupported(body));
  QUERN_API_TRY(ReadTurnOptions(body, read.last_is_partial, request));
  QUERN_API_TRY(CheckForcedCall(request));
  return request;
}

}  // namespace quern::api
