// Fuzz target: any bytes as the body of an upstream's answer. The first byte chooses how tokens travel and how the
// bytes are cut. Whatever they are: cut and whole give the same events, no id leaves the vocabulary, and no more tokens
// come than were asked for; what passes for JSON is JSON.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/fake_tokenizer.h"
#include "grammar/grammar_compiler.h"
#include "grammar/json_schema.h"
#include "upstream/chunk.h"
#include "upstream/format_check.h"
#include "upstream/sse_parser.h"
#include "upstream/token_assembler.h"

namespace {

using namespace quern;
using namespace quern::upstream;

constexpr size_t kMaxEventBytes = 4096;
constexpr int kMaxTokens = 48;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "upstream_answer: %s\n", what);
  std::abort();
}

std::vector<std::string> EventsOf(std::string_view bytes, size_t piece) {
  SseParser parser(kMaxEventBytes);
  std::vector<std::string> events;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    if (!parser.Feed(bytes.substr(at, piece), events)) break;
  }
  return events;
}

void CheckJson(const std::shared_ptr<const engine::FakeTokenizer>& tokenizer, const TextTokens& text_tokens,
               const std::vector<engine::TokenEvent>& tokens) {
  static const auto json = grammar::GrammarCompiler::Create(tokenizer)->Compile(grammar::JsonObjectGrammar()).value();
  const auto check = FormatCheck::Create(*json, {engine::FakeTokenizer::kImEnd}, *tokenizer, text_tokens).value();
  std::string text;
  for (const engine::TokenEvent& token : tokens) {
    if (!check->Take(token.token)) return;
    if (token.token != engine::FakeTokenizer::kImEnd) text += tokenizer->TokenBytes(token.token);
  }
  if (tokens.empty() || tokens.back().token != engine::FakeTokenizer::kImEnd) return;
  boost::system::error_code error;
  boost::json::parse(text, error, {}, {.max_depth = 1000});
  Require(!error, "what is not JSON passed as JSON");
}

void Assemble(const std::vector<std::string>& events, TokenExchange exchange, int n_logprobs) {
  static const auto tokenizer = std::make_shared<const engine::FakeTokenizer>();
  static const TextTokens text_tokens(tokenizer);
  const Wanted wanted{
      .n_prompt = 5, .n_max = kMaxTokens, .n_logprobs = n_logprobs, .stop_tokens = {engine::FakeTokenizer::kImEnd}};
  TokenAssembler assembler(wanted, exchange, *tokenizer, text_tokens);
  std::vector<engine::TokenEvent> tokens;
  for (const std::string& event : events) {
    const auto chunk = ReadChunk(event, tokenizer->vocab_size());
    if (!chunk) {
      Require(IsValidUtf8(chunk.error().message()) || !IsValidUtf8(event), "an error that cannot be shown");
      return;
    }
    if (!assembler.Push(*chunk, tokens)) return;
  }
  const auto finished = assembler.Finish(tokens);
  CheckJson(tokenizer, text_tokens, tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    Require(tokens[i].token >= 0 && tokens[i].token < tokenizer->vocab_size(), "an id outside the vocabulary");
    Require(tokens[i].n_generated == static_cast<int>(i) + 1, "tokens that are counted wrongly");
    Require(tokens[i].top.size() <= static_cast<size_t>(std::max(0, n_logprobs)), "too many log-probabilities");
  }
  if (!finished) return;
  Require(finished->n_cached >= 0 && finished->n_cached <= wanted.n_prompt, "n_cached");
  Require(finished->n_generated >= 0, "n_generated");
  if (exchange == TokenExchange::kTokens) Require(tokens.size() <= kMaxTokens + 1U, "more tokens than asked for");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 65536) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<std::string> whole = EventsOf(bytes, std::max<size_t>(1, bytes.size()));
  const std::vector<std::string> cut = EventsOf(bytes, 1 + data[0] / 4);
  // Where a limit was passed, a finer cut only brings out what came before it.
  Require(cut.size() >= whole.size() && std::equal(whole.begin(), whole.end(), cut.begin()), "a cut changes events");
  Assemble(cut, data[0] % 2 == 0 ? TokenExchange::kTokens : TokenExchange::kText, data[0] / 2 % 2 == 0 ? -1 : 2);
  ErrorText(bytes, "none");
  return 0;
}
