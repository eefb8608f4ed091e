// What the conformance test and the benchmark drive. Frames on stdin and stdout are a 32-bit little-endian count and
// that many items.
//   quern_tokenize_tool encode TOKENIZER_JSON          texts (bytes) in; ids (int32) out, then the decoded text (bytes)
//   quern_tokenize_tool ordinary TOKENIZER_JSON        the same with added tokens as ordinary text
//   quern_tokenize_tool time TOKENIZER_JSON RUNS       texts in until the end; then one line per run: seconds, tokens
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace {

using quern::tokenizer::AddedTokens;
using quern::tokenizer::TokenId;
using quern::tokenizer::Tokenizer;

bool ReadFrame(std::string& text) {
  uint32_t n = 0;
  if (std::fread(&n, sizeof(n), 1, stdin) != 1) return false;
  text.resize(n);
  return std::fread(text.data(), 1, n, stdin) == n;
}

template <class T>
void WriteFrame(const T& items) {
  const auto n = static_cast<uint32_t>(items.size());
  std::fwrite(&n, sizeof(n), 1, stdout);
  std::fwrite(items.data(), sizeof(items[0]), items.size(), stdout);
}

void Encode(const Tokenizer& tokenizer, AddedTokens added) {
  std::string text;
  while (ReadFrame(text)) {
    const std::vector<TokenId> ids = tokenizer.Encode(text, {.added = added});
    WriteFrame(ids);
    WriteFrame(tokenizer.DecodeBytes(ids, /*skip_special=*/false));
  }
}

void Time(const Tokenizer& tokenizer, int n_runs) {
  std::vector<std::string> texts;
  for (std::string text; ReadFrame(text);) texts.push_back(text);
  for (int run = 0; run < n_runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    size_t n_tokens = 0;
    for (const std::string& text : texts) n_tokens += tokenizer.Encode(text).size();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%.9f %zu\n", seconds.count(), n_tokens);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 2 ? argv[1] : "";
  const bool is_time = mode == "time" && argc == 4;
  if (!is_time && !((mode == "encode" || mode == "ordinary") && argc == 3)) {
    std::fprintf(stderr, "usage: %s encode|ordinary TOKENIZER_JSON | time TOKENIZER_JSON RUNS\n", argv[0]);
    return 2;
  }
  std::ifstream file(argv[2], std::ios::binary);
  const std::string json((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto start = std::chrono::steady_clock::now();
  const auto tokenizer = Tokenizer::FromJson(json);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (!tokenizer.has_value()) {
    std::fprintf(stderr, "%s: %s\n", argv[2], tokenizer.error().ToString().c_str());
    return 1;
  }
  std::fprintf(stderr, "loaded in %.3f s\n", seconds.count());
  if (is_time) {
    Time(**tokenizer, std::atoi(argv[3]));
  } else {
    Encode(**tokenizer, mode == "encode" ? AddedTokens::kMatch : AddedTokens::kIgnore);
  }
  return 0;
}
