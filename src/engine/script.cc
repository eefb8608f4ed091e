#include "engine/script.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <initializer_list>

#include "base/json.h"

namespace quern::engine {
namespace {

namespace json = boost::json;

constexpr size_t kMaxScriptBytes = 64U << 20;
constexpr size_t kMaxScriptValues = 2U << 20;
constexpr size_t kMaxRules = 10000;
constexpr size_t kMaxTokens = 1U << 20;
constexpr int64_t kMaxDelayMs = 3600 * 1000;
constexpr int64_t kMaxCount = 1 << 30;

std::unexpected<Status> Bad(std::string_view where, std::string_view what) {
  return Error(Code::kInvalidArgument, fmt::format("script: {}: {}", where, what));
}

Result<const json::object*> ObjectAt(const json::value& value, std::string_view where,
                                     std::initializer_list<std::string_view> keys) {
  if (!value.is_object()) return Bad(where, "expected an object");
  for (const auto& member : value.get_object()) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      return Bad(where, fmt::format("unknown key \"{}\"", key));
  }
  return &value.get_object();
}

Result<int64_t> IntOr(const json::object& object, const char* key, int64_t fallback, int64_t lo, int64_t hi,
                      std::string_view where) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return fallback;
  if (!value->is_int64() || value->get_int64() < lo || value->get_int64() > hi)
    return Bad(fmt::format("{}.{}", where, key), fmt::format("expected a whole number from {} to {}", lo, hi));
  return value->get_int64();
}

Result<float> FloatOr(const json::object& object, const char* key, float fallback, std::string_view where) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return fallback;
  if (!value->is_number()) return Bad(fmt::format("{}.{}", where, key), "expected a number");
  return static_cast<float>(value->to_number<double>());
}

Result<std::string> StringOr(const json::object& object, const char* key, std::string_view fallback,
                             std::string_view where) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) return Bad(fmt::format("{}.{}", where, key), "expected a string");
  return std::string(value->get_string().c_str(), value->get_string().size());
}

Result<std::vector<TokenId>> TokenList(const json::value& value, const tokenizer::Tokenizer& tokenizer,
                                       std::string_view where) {
  if (!value.is_array()) return Bad(where, "expected a list of token ids or of added tokens' texts");
  if (value.get_array().size() > kMaxTokens) return Bad(where, fmt::format("more than {} tokens", kMaxTokens));
  std::vector<TokenId> ids;
  for (const json::value& item : value.get_array()) {
    if (item.is_string()) {
      const std::string_view text(item.get_string().data(), item.get_string().size());
      ids.push_back(tokenizer.AddedTokenId(text));
      if (ids.back() < 0) return Bad(where, fmt::format("the tokenizer has no added token \"{}\"", text));
    } else if (item.is_int64() && item.get_int64() >= 0 && item.get_int64() < tokenizer.vocab_size()) {
      ids.push_back(static_cast<TokenId>(item.get_int64()));
    } else {
      return Bad(where, fmt::format("entry {} is no token id below {}", ids.size(), tokenizer.vocab_size()));
    }
  }
  return ids;
}

Result<Code> CodeNamed(std::string_view name, std::string_view where) {
  for (Code code : {Code::kInvalidArgument, Code::kNotFound, Code::kPermission, Code::kExhausted, Code::kUnavailable,
                    Code::kCancelled, Code::kDeadline, Code::kUnsupported, Code::kCorrupt, Code::kInternal}) {
    if (CodeName(code) == name) return code;
  }
  return Bad(where, fmt::format("no error code is named \"{}\"", name));
}

Result<ScriptFault> ParseFault(const json::value& value, const std::string& where) {
  QUERN_ASSIGN(const json::object* object, ObjectAt(value, where, {"kind", "at", "code", "message"}));
  ScriptFault fault;
  QUERN_ASSIGN(const std::string kind, StringOr(*object, "kind", "", where));
  const char* code = "internal";
  const char* message = "the script says so";
  if (kind == "error") {
    fault.kind = FaultKind::kError;
  } else if (kind == "hang") {
    fault.kind = FaultKind::kHang;
  } else if (kind == "drop") {
    fault.kind = FaultKind::kDrop;
    code = "unavailable";
    message = "the connection to the model was lost";
  } else if (kind == "refuse") {
    fault.kind = FaultKind::kRefuse;
    code = "exhausted";
    message = "too many requests are waiting";
  } else {
    return Bad(where + ".kind", "expected \"error\", \"hang\", \"drop\" or \"refuse\"");
  }
  QUERN_ASSIGN(const int64_t at, IntOr(*object, "at", 0, 0, kMaxCount, where));
  fault.at = static_cast<int>(at);
  QUERN_ASSIGN(const std::string code_name, StringOr(*object, "code", code, where));
  QUERN_ASSIGN(fault.code, CodeNamed(code_name, where + ".code"));
  QUERN_ASSIGN(fault.message, StringOr(*object, "message", message, where));
  return fault;
}

Result<std::vector<std::string>> ParseMatch(const json::object& rule, const std::string& where) {
  std::vector<std::string> match;
  const json::value* value = rule.if_contains("match");
  if (value == nullptr) return match;
  const auto push = [&](const json::value& item) {
    if (item.is_string()) match.emplace_back(item.get_string().c_str(), item.get_string().size());
    return item.is_string();
  };
  bool ok = true;
  if (value->is_array()) {
    for (const json::value& item : value->get_array()) ok = ok && push(item);
  } else {
    ok = push(*value);
  }
  if (!ok) return Bad(where + ".match", "expected a string or a list of strings");
  return match;
}

Result<std::vector<TokenId>> ParseOutput(const json::object& rule, const tokenizer::Tokenizer& tokenizer,
                                         const std::string& where) {
  const json::value* tokens = rule.if_contains("tokens");
  if (tokens != nullptr && rule.contains("text")) return Bad(where, "has both \"text\" and \"tokens\"");
  std::vector<TokenId> out;
  if (tokens != nullptr) {
    QUERN_ASSIGN(out, TokenList(*tokens, tokenizer, where + ".tokens"));
  } else {
    QUERN_ASSIGN(const std::string text, StringOr(rule, "text", "", where));
    out = tokenizer.Encode(text);
  }
  QUERN_ASSIGN(const int64_t repeat, IntOr(rule, "repeat", 1, 1, kMaxCount, where));
  if (out.size() * static_cast<size_t>(repeat) > kMaxTokens)
    return Bad(where, fmt::format("answers with more than {} tokens", kMaxTokens));
  const std::vector<TokenId> once = out;
  for (int64_t i = 1; i < repeat; ++i) out.insert(out.end(), once.begin(), once.end());
  return out;
}

Result<ScriptRule> ParseRule(const json::value& value, const tokenizer::Tokenizer& tokenizer,
                             const std::string& where) {
  QUERN_ASSIGN(const json::object* object,
               ObjectAt(value, where,
                        {"match", "times", "text", "tokens", "repeat", "finish", "first_delay_ms", "delay_ms",
                         "prompt_chunks", "cached", "fault", "comment"}));
  ScriptRule rule;
  QUERN_ASSIGN(rule.match, ParseMatch(*object, where));
  QUERN_ASSIGN(rule.tokens, ParseOutput(*object, tokenizer, where));
  QUERN_ASSIGN(const int64_t times, IntOr(*object, "times", -1, -1, kMaxCount, where));
  QUERN_ASSIGN(const int64_t first, IntOr(*object, "first_delay_ms", 0, 0, kMaxDelayMs, where));
  QUERN_ASSIGN(const int64_t delay, IntOr(*object, "delay_ms", 0, 0, kMaxDelayMs, where));
  QUERN_ASSIGN(const int64_t chunks, IntOr(*object, "prompt_chunks", 1, 1, 1000, where));
  QUERN_ASSIGN(const int64_t cached, IntOr(*object, "cached", 0, 0, kMaxCount, where));
  rule.times = static_cast<int>(times);
  rule.first_delay = std::chrono::milliseconds(first);
  rule.delay = std::chrono::milliseconds(delay);
  rule.prompt_chunks = static_cast<int>(chunks);
  rule.n_cached = static_cast<int>(cached);
  QUERN_ASSIGN(const std::string finish, StringOr(*object, "finish", "stop", where));
  if (finish != "stop" && finish != "length") return Bad(where + ".finish", "expected \"stop\" or \"length\"");
  rule.endless = finish == "length";
  if (const json::value* fault = object->if_contains("fault"); fault != nullptr) {
    QUERN_ASSIGN(rule.fault, ParseFault(*fault, where + ".fault"));
  }
  if (rule.endless && rule.tokens.empty()) return Bad(where, "\"finish\": \"length\" needs at least one token");
  return rule;
}

Result<SamplingDefaults> ParseDefaults(const json::value& value) {
  const char* where = "defaults";
  QUERN_ASSIGN(const json::object* object,
               ObjectAt(value, where, {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"}));
  SamplingDefaults defaults;
  QUERN_ASSIGN(defaults.temperature, FloatOr(*object, "temperature", defaults.temperature, where));
  QUERN_ASSIGN(defaults.top_p, FloatOr(*object, "top_p", defaults.top_p, where));
  QUERN_ASSIGN(defaults.min_p, FloatOr(*object, "min_p", defaults.min_p, where));
  QUERN_ASSIGN(defaults.repetition_penalty, FloatOr(*object, "repetition_penalty", defaults.repetition_penalty, where));
  QUERN_ASSIGN(const int64_t top_k, IntOr(*object, "top_k", defaults.top_k, 0, kMaxCount, where));
  defaults.top_k = static_cast<int>(top_k);
  return defaults;
}

}  // namespace

Result<Script> ParseScript(std::string_view text, const tokenizer::Tokenizer& tokenizer) {
  auto value = ParseJson(text, {.max_bytes = kMaxScriptBytes, .max_values = kMaxScriptValues});
  if (!value) return Bad("file", value.error().message());
  QUERN_ASSIGN(const json::object* object,
               ObjectAt(*value, "top level",
                        {"architecture", "context_length", "order", "eos", "defaults", "rules", "comment"}));
  Script script;
  QUERN_ASSIGN(script.architecture, StringOr(*object, "architecture", script.architecture, "top level"));
  QUERN_ASSIGN(const int64_t context,
               IntOr(*object, "context_length", script.context_length, 2, kMaxCount, "top level"));
  script.context_length = static_cast<int>(context);
  QUERN_ASSIGN(const std::string order, StringOr(*object, "order", "first", "top level"));
  if (order != "first" && order != "round_robin") return Bad("order", "expected \"first\" or \"round_robin\"");
  script.round_robin = order == "round_robin";
  if (const json::value* eos = object->if_contains("eos"); eos != nullptr) {
    QUERN_ASSIGN(script.eos_tokens, TokenList(*eos, tokenizer, "eos"));
  } else {
    for (const char* name : {"<|im_end|>", "<|endoftext|>"}) {
      if (const TokenId id = tokenizer.AddedTokenId(name); id >= 0) script.eos_tokens.push_back(id);
    }
  }
  if (const json::value* defaults = object->if_contains("defaults"); defaults != nullptr) {
    QUERN_ASSIGN(script.defaults, ParseDefaults(*defaults));
  }
  const json::value* rules = object->if_contains("rules");
  if (rules == nullptr || !rules->is_array() || rules->get_array().empty())
    return Bad("rules", "expected a list with at least one rule");
  if (rules->get_array().size() > kMaxRules) return Bad("rules", fmt::format("more than {} rules", kMaxRules));
  for (const json::value& rule : rules->get_array()) {
    QUERN_ASSIGN(ScriptRule parsed, ParseRule(rule, tokenizer, fmt::format("rules[{}]", script.rules.size())));
    script.rules.push_back(std::move(parsed));
  }
  return script;
}

}  // namespace quern::engine
