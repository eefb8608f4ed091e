#include "upstream/request_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/json_text.h"
#include "base/utf8.h"

namespace quern::upstream {
namespace {

using engine::GenerateRequest;
using engine::SamplingParams;
using engine::TokenId;

constexpr size_t kMaxStopTexts = 4;  // as many as every endpoint takes

std::unexpected<Status> Unsupported(std::string_view what) {
  return Error(Code::kUnsupported, fmt::format("{} cannot be had from the server that runs this model", what));
}

void AppendIds(std::string& out, const std::vector<TokenId>& ids) {
  out += '[';
  for (size_t i = 0; i < ids.size(); ++i) fmt::format_to(std::back_inserter(out), "{}{}", i == 0 ? "" : ",", ids[i]);
  out += ']';
}

// Members that are neutral are left out: not every endpoint knows them.
void AppendSampling(std::string& out, const SamplingParams& s) {
  const auto append = [&](std::string_view name, auto value) {
    fmt::format_to(std::back_inserter(out), ",\"{}\":{}", name, value);
  };
  append("temperature", s.temperature);
  append("top_p", s.top_p);
  append("seed", s.seed & 0x7FFFFFFF);  // the range that all endpoints take
  if (s.top_k > 0) append("top_k", s.top_k);
  if (s.min_p > 0) append("min_p", s.min_p);
  if (s.repetition_penalty != 1) append("repetition_penalty", s.repetition_penalty);
  if (s.presence_penalty != 0) append("presence_penalty", s.presence_penalty);
  if (s.frequency_penalty != 0) append("frequency_penalty", s.frequency_penalty);
  if (s.logit_bias.empty()) return;
  out += ",\"logit_bias\":{";
  for (size_t i = 0; i < s.logit_bias.size(); ++i) {
    const auto& [id, bias] = s.logit_bias[i];
    fmt::format_to(std::back_inserter(out), "{}\"{}\":{}", i == 0 ? "" : ",", id, std::clamp(bias, -100.0F, 100.0F));
  }
  out += '}';
}

std::vector<TokenId> AddedTokensOf(const std::vector<TokenId>& ids, const tokenizer::Tokenizer& tokenizer) {
  std::vector<TokenId> added;
  std::ranges::copy_if(ids, std::back_inserter(added), [&](TokenId id) { return tokenizer.IsAdded(id); });
  return added;
}

Result<void> AppendPromptText(std::string& out, const GenerateRequest& request, const tokenizer::Tokenizer& tokenizer) {
  const std::string text = tokenizer.DecodeBytes(request.prompt, false);
  if (!IsValidUtf8(text)) return Unsupported("a prompt of tokens that cut a character");
  // Here text is kept apart from control tokens that it merely spells; there it would become them.
  if (AddedTokensOf(tokenizer.Encode(text), tokenizer) != AddedTokensOf(request.prompt, tokenizer)) {
    return Error(Code::kUnsupported,
                 "the prompt spells control tokens of the model (such as <|im_end|>) as text, and the server that runs "
                 "this model takes text only: it could not tell them apart");
  }
  AppendJsonString(out, text);
  return {};
}

void AppendStopTexts(std::string& out, const GenerateRequest& request, const tokenizer::Tokenizer& tokenizer) {
  out += ",\"stop\":[";
  size_t n = 0;
  for (const TokenId id : request.stop_tokens) {
    const std::string_view text = tokenizer.TokenBytes(id);
    if (n == kMaxStopTexts) break;
    if (text.empty() || !IsValidUtf8(text)) continue;
    if (n++ > 0) out += ',';
    AppendJsonString(out, text);
  }
  out += ']';
}

std::string_view FormatName(grammar::GrammarKind kind) {
  switch (kind) {
    case grammar::GrammarKind::kJsonSchema:
      return "json";
    case grammar::GrammarKind::kRegex:
      return "regex";
    case grammar::GrammarKind::kLark:
      return "grammar";
  }
  return "";
}

Result<void> AppendFormat(std::string& out, const grammar::Grammar& grammar, FormatFields formats) {
  if (formats == FormatFields::kNone)
    return Unsupported("a forced tool call, a tool whose calls are held to a form, or an enforced format");
  const grammar::GrammarSource* source = grammar.source();
  if (source == nullptr) {
    return Unsupported(
        "a format whose beginning is already written, or a custom tool whose text has a grammar of its own,");
  }
  const std::string_view name = FormatName(source->kind);
  const bool guided = formats == FormatFields::kGuided;
  out += guided ? ",\"guided_" : ",\"structured_outputs\":{\"";
  out += name;
  out += "\":";
  if (source->kind == grammar::GrammarKind::kJsonSchema) {
    out += source->text;
  } else {
    AppendJsonString(out, source->text);
  }
  if (!guided) out += '}';
  return {};
}

}  // namespace

Result<std::string> RequestJson(const GenerateRequest& request, int n_max, TokenExchange exchange, FormatFields formats,
                                const tokenizer::Tokenizer& tokenizer) {
  if (request.prompt_logprobs) return Unsupported("the log-probabilities of a prompt");
  std::string out = ",\"prompt\":";
  if (exchange == TokenExchange::kTokens) {
    AppendIds(out, request.prompt);
    // Exactly our stop tokens end the text, whatever the model's own are there.
    out += ",\"return_token_ids\":true,\"skip_special_tokens\":false,\"stop_token_ids\":";
    AppendIds(out, request.stop_tokens);
    // Whoever enforces a format ends it with a token of its own choice.
    if (!request.grammar) out += ",\"ignore_eos\":true";
    if (request.min_tokens > 0) fmt::format_to(std::back_inserter(out), ",\"min_tokens\":{}", request.min_tokens);
  } else {
    QUERN_TRY(AppendPromptText(out, request, tokenizer));
    if (request.min_tokens > 0) return Unsupported("min_tokens");
    if (request.n_logprobs >= 0) return Unsupported("the log-probabilities of tokens");
    if (!request.stop_tokens.empty()) AppendStopTexts(out, request, tokenizer);
  }
  fmt::format_to(std::back_inserter(out), ",\"max_tokens\":{}", n_max);
  if (request.n_logprobs >= 0) fmt::format_to(std::back_inserter(out), ",\"logprobs\":{}", request.n_logprobs);
  AppendSampling(out, request.sampling);
  if (request.grammar) QUERN_TRY(AppendFormat(out, *request.grammar, formats));
  out += ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}";
  return out;
}

std::string WithModel(std::string_view model, std::string_view rest) {
  std::string body = "{\"model\":";
  AppendJsonString(body, model);
  body += rest;
  return body;
}

}  // namespace quern::upstream
