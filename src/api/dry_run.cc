#include "api/dry_run.h"

#include <fmt/format.h>

#include "api/answer.h"
#include "api/ids.h"
#include "api/json_reader.h"
#include "api/json_writer.h"
#include "api/openai_chat.h"
#include "api/request_body.h"
#include "api/service_context.h"

namespace quern::api {

namespace json = boost::json;

namespace {

constexpr std::string_view kAnswer = "This is a dry run. No model was asked.";

ApiResult<void> Check(const Exchange& exchange, const ObjectReader& body) {
  QUERN_API_ASSIGN(const std::string_view model, body.NeedString("model"));
  if (model != kDryRunModel) {
    ApiError error = BadField(
        "model", fmt::format("The model `{}` does not exist here, only `{}`.", model.substr(0, 200), kDryRunModel),
        "model_not_found");
    error.http_status = 404;
    return Fail(std::move(error));
  }
  QUERN_API_TRY(ReadChatMessages(body, exchange.limits()));
  QUERN_API_ASSIGN(const auto stream, body.Bool("stream"));
  if (stream.value_or(false)) {
    return Fail(BadField("stream", "'stream' is not supported in a dry run.", "unsupported_value"));
  }
  return {};
}

std::string DryAnswer() {
  JsonWriter out;
  out.BeginObject().Key("id").String("chatcmpl-" + NewHexId()).Key("object").String("chat.completion");
  out.Key("created").Int(UnixSecondsNow()).Key("model").String(kDryRunModel);
  out.Key("choices").BeginArray().BeginObject().Key("index").Int(0);
  out.Key("message").BeginObject().Key("role").String("assistant").Key("content").String(kAnswer).EndObject();
  out.Key("logprobs").Null().Key("finish_reason").String("stop").EndObject().EndArray();
  out.Key("usage");
  WriteUsage(out, Usage{}, false);
  return out.EndObject().Take();
}

}  // namespace

void AnswerDryRun(const Call& call) {
  Exchange& exchange = *call.exchange;
  if (!call.service.Admit(exchange)) return;
  const ApiResult<void> checked = [&]() -> ApiResult<void> {
    QUERN_API_ASSIGN(const json::value document, ReadBody(exchange));
    return Check(exchange, ObjectReader(document.get_object(), ""));
  }();
  if (!checked) return exchange.SendError(checked.error());
  exchange.SendJson(200, DryAnswer());
}

}  // namespace quern::api
