#include "api/chat_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "api/output_format.h"
#include "chat/call_grammar.h"
#include "grammar/json_schema.h"
#include "grammar/nested_text.h"

namespace quern::api {

namespace json = boost::json;

namespace {

using GrammarPtr = std::shared_ptr<const grammar::Grammar>;

ApiError FunctionError(const Status& status) {
  if (status.code() == Code::kInternal) return FromStatus(status);
  return BadField("tools", fmt::format("Invalid schema or grammar in 'tools': {}.", status.message().substr(0, 500)),
                  "invalid_function_parameters");
}

// First with everything that the functions' schemas ask for, then with what functions that are not strict can do
// without.
Result<GrammarPtr> CompileCalls(chat::CallGrammarOptions options, const ServedModel& model) {
  Result<GrammarPtr> compiled = Error(Code::kInternal, "no grammar was built");
  for (const bool loose : {false, true}) {
    options.loose = loose;
    QUERN_ASSIGN(const grammar::GrammarSource source, chat::CallGrammar(options));
    compiled = grammar::CompileNested(*model.grammars, source, chat::TextsInCalls(options.tools));
    if (compiled || compiled.error().code() == Code::kInternal) return compiled;
  }
  return compiled;
}

ApiResult<GrammarPtr> CallsOrFormat(chat::CallGrammarOptions options, const OutputFormat& format,
                                    const ServedModel& model) {
  if (format.schema.is_null()) {
    return Fail(BadField(
        format.field, fmt::format("'{}' cannot be combined with 'tools' unless 'tool_choice' is 'none'.", format.field),
        "invalid_value"));
  }
  QUERN_API_TRY(CompileFormat(format, model));  // so that a failure below is the tools'
  options.calls_are = chat::CallsAre::kOrDocument;
  options.document = json::serialize(format.schema);
  auto compiled = CompileCalls(options, model);
  if (!compiled && format.may_relax) {
    options.document = grammar::JsonObjectGrammar().text;
    compiled = CompileCalls(options, model);
  }
  if (!compiled) return Fail(FunctionError(compiled.error()));
  return *std::move(compiled);
}

ApiResult<GrammarPtr> GrammarOfTurn(const ChatRequest& request, const ServedModel& model) {
  const auto& format = request.fields.format;
  chat::CallGrammarOptions options;
  options.syntax = model.chat_format->tool_call_syntax();
  options.parallel = request.parallel_tool_calls;
  options.tools = request.tools;
  const bool forced = request.tool_choice == ToolChoice::kRequired || request.tool_choice == ToolChoice::kNamed;
  if (!forced && (request.tool_choice == ToolChoice::kNone || request.tools.empty())) {
    return format ? CompileFormat(*format, model) : GrammarPtr();
  }
  if (!forced && format) return CallsOrFormat(options, *format, model);
  const auto& tools = request.tools;
  if (!forced) {
    if (std::none_of(tools.begin(), tools.end(), [](const chat::Tool& tool) { return tool.strict; })) return nullptr;
    options.calls_are = chat::CallsAre::kAmongText;
  }
  if (request.tool_choice == ToolChoice::kNamed) {
    const auto named =
        std::find_if(tools.begin(), tools.end(), [&](const auto& tool) { return tool.name == request.forced_tool; });
    options.tools = std::span(&*named, 1);
  }
  auto compiled = CompileCalls(options, model);
  if (!compiled) return Fail(FunctionError(compiled.error()));
  return *std::move(compiled);
}

}  // namespace

ApiResult<GrammarPtr> BuildChatGrammar(const ChatRequest& request, const ServedModel& model) {
  QUERN_API_ASSIGN(GrammarPtr grammar, GrammarOfTurn(request, model));
  if (!grammar) return grammar;
  if (request.fields.ignore_eos) {
    return Fail(BadField("ignore_eos", "'ignore_eos' cannot be combined with a format of the answer or a forced call.",
                         "invalid_value"));
  }
  if (!request.continue_final_message) return grammar;
  const std::string& begun = request.messages.back().content;
  auto rest = grammar->After(model.tokenizer->Encode(begun, {.added = tokenizer::AddedTokens::kIgnore}));
  if (rest) return *std::move(rest);
  return Fail(BadField(fmt::format("messages[{}].content", request.messages.size() - 1),
                       "The message to be continued does not fit the format that the answer must have.",
                       "invalid_value"));
}

ApiResult<void> CheckJsonIsMentioned(const ChatRequest& request) {
  if (!request.fields.format || !request.fields.format->is_json_object) return {};
  for (const chat::Message& message : request.messages) {
    std::string text = message.content;
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (text.find("json") != std::string::npos) return {};
  }
  return Fail(BadField("messages",
                       "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                       "'json_object'.",
                       "invalid_parameter_error"));
}

}  // namespace quern::api
