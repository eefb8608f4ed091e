// Token log-probabilities as JSON, in the chat shape and in the legacy completions shape.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/json_writer.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace quern::api {

// A token's text for people: itself when it is whole UTF-8, otherwise each byte as \xNN.
std::string TokenText(const tokenizer::Tokenizer& tokenizer, engine::TokenId id);

// {"content":[{"token","logprob","bytes","top_logprobs":[...]}],"refusal":null}
void WriteChatLogprobs(JsonWriter& json, const tokenizer::Tokenizer& tokenizer,
                       const std::vector<engine::TokenEvent>& tokens);

// The "content" of it alone.
void WriteLogprobList(JsonWriter& json, const tokenizer::Tokenizer& tokenizer,
                      const std::vector<engine::TokenEvent>& tokens);

// One token of the legacy shape.
struct LegacyLogprob {
  engine::TokenId token;
  bool first = false;  // nothing precedes it: null
  float logprob = 0;
  std::vector<engine::TokenLogprob> top;
  size_t text_offset = 0;  // characters before it in the returned text
};

// {"tokens","token_logprobs","top_logprobs","text_offset"}; with_top false writes top_logprobs null.
void WriteLegacyLogprobs(JsonWriter& json, const tokenizer::Tokenizer& tokenizer,
                         const std::vector<LegacyLogprob>& tokens, bool with_top);

// Characters that begin in these bytes, counted by lead bytes so that a token that ends inside a character adds up.
size_t CountCharacters(std::string_view bytes);

// The character in which a token begins when n_before characters began before it: its own first one, or the unfinished
// one that it goes on with.
size_t CharacterAt(std::string_view bytes, size_t n_before);

}  // namespace quern::api
