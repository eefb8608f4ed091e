#include "api/logprobs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"

namespace quern::api {

std::string TokenText(const tokenizer::Tokenizer& tokenizer, engine::TokenId id) {
  const std::string_view bytes = tokenizer.TokenBytes(id);
  if (IsValidUtf8(bytes)) return std::string(bytes);
  std::string text;
  for (const char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

namespace {

void WriteChatToken(JsonWriter& json, const tokenizer::Tokenizer& tokenizer, engine::TokenId id, float logprob) {
  json.Key("token").String(TokenText(tokenizer, id));
  json.Key("logprob").Logprob(logprob);
  json.Key("bytes").BeginArray();
  for (const char c : tokenizer.TokenBytes(id)) json.Int(static_cast<unsigned char>(c));
  json.EndArray();
}

}  // namespace

void WriteLogprobList(JsonWriter& json, const tokenizer::Tokenizer& tokenizer,
                      const std::vector<engine::TokenEvent>& tokens) {
  json.BeginArray();
  for (const engine::TokenEvent& token : tokens) {
    json.BeginObject();
    WriteChatToken(json, tokenizer, token.token, token.logprob);
    json.Key("top_logprobs").BeginArray();
    for (const engine::TokenLogprob& other : token.top) {
      json.BeginObject();
      WriteChatToken(json, tokenizer, other.token, other.logprob);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
}

void WriteChatLogprobs(JsonWriter& json, const tokenizer::Tokenizer& tokenizer,
                       const std::vector<engine::TokenEvent>& tokens) {
  json.BeginObject().Key("content");
  WriteLogprobList(json, tokenizer, tokens);
  json.Key("refusal").Null().EndObject();
}

namespace {

// The best tokens by text; the chosen one is added when it is not among them. Of two tokens with the same text the
// likelier one counts, because JSON keys are unique.
void WriteTopMap(JsonWriter& json, const tokenizer::Tokenizer& tokenizer, const LegacyLogprob& token) {
  json.BeginObject();
  std::vector<std::string> seen;
  const auto write = [&](engine::TokenId id, float logprob) {
    std::string text = TokenText(tokenizer, id);
    if (std::find(seen.begin(), seen.end(), text) != seen.end()) return;
    json.Key(text).Logprob(logprob);
    seen.push_back(std::move(text));
  };
  for (const engine::TokenLogprob& other : token.top) write(other.token, other.logprob);
  write(token.token, token.logprob);
  json.EndObject();
}

}  // namespace

void WriteLegacyLogprobs(JsonWriter& json, const tokenizer::Tokenizer& tokenizer,
                         const std::vector<LegacyLogprob>& tokens, bool with_top) {
  json.BeginObject().Key("tokens").BeginArray();
  for (const LegacyLogprob& token : tokens) json.String(TokenText(tokenizer, token.token));
  json.EndArray().Key("token_logprobs").BeginArray();
  for (const LegacyLogprob& token : tokens) {
    if (token.first) {
      json.Null();
    } else {
      json.Logprob(token.logprob);
    }
  }
  json.EndArray().Key("top_logprobs");
  if (with_top) {
    json.BeginArray();
    for (const LegacyLogprob& token : tokens) {
      if (token.first) {
        json.Null();
      } else {
        WriteTopMap(json, tokenizer, token);
      }
    }
    json.EndArray();
  } else {
    json.Null();
  }
  json.Key("text_offset").BeginArray();
  for (const LegacyLogprob& token : tokens) json.Int(static_cast<int64_t>(token.text_offset));
  json.EndArray().EndObject();
}

size_t CharacterAt(std::string_view bytes, size_t n_before) {
  const bool goes_on = !bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0xC0) == 0x80;
  return goes_on && n_before > 0 ? n_before - 1 : n_before;
}

size_t CountCharacters(std::string_view bytes) {
  return static_cast<size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace quern::api
