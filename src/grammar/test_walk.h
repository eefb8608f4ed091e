// For tests: the tokenizer of the model in the box, and texts drawn at random from a constraint.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/grammar_compiler.h"
#include "tokenizer/tokenizer.h"

namespace quern::grammar {

inline std::shared_ptr<const tokenizer::Tokenizer> DemoTokenizer() {
  static const auto tokenizer = [] {
    std::ifstream file("models/demo/tokenizer.json", std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    return tokenizer::Tokenizer::FromJson(text).value();
  }();
  return tokenizer;
}

inline std::shared_ptr<GrammarCompiler> DemoCompiler() {
  static const auto compiler = GrammarCompiler::Create(DemoTokenizer());
  return compiler;
}

inline std::unique_ptr<TokenConstraint> StartOf(const GrammarSource& source) {
  auto compiled = DemoCompiler()->Compile(source);
  if (!compiled) {
    ADD_FAILURE() << compiled.error().ToString() << "\n" << source.text;
    return nullptr;
  }
  return (*compiled)->Start().value();
}

inline std::vector<uint32_t> EmptyMask() {
  return std::vector<uint32_t>((static_cast<size_t>(DemoTokenizer()->vocab_size()) + 31) / 32);
}

inline bool Has(const std::vector<uint32_t>& mask, int32_t id) {
  return (mask[static_cast<size_t>(id) / 32] >> (static_cast<unsigned>(id) % 32U) & 1U) != 0;
}

// Whether the grammar accepts text as a whole; *n_taken: the tokens that it took.
inline bool Accepts(const GrammarSource& source, std::string_view text) {
  const auto constraint = StartOf(source);
  if (constraint == nullptr) return false;
  auto mask = EmptyMask();
  for (const int32_t id : DemoTokenizer()->Encode(text, {.added = tokenizer::AddedTokens::kMatch})) {
    if (!constraint->ComputeMask(mask).has_value() || !Has(mask, id)) return false;
    if (!constraint->Accept(id)) return false;
  }
  return constraint->ComputeMask(mask).value_or(false);
}

struct Walk {
  std::string text;
  bool ended = false;
};

// An allowed token that goes on with the longest beginning of closer that text ends with, or -1.
inline int32_t TowardsCloser(const std::string& text, std::string_view closer, const std::vector<int32_t>& allowed) {
  for (size_t k = closer.size(); k-- > 0;) {
    if (!text.ends_with(closer.substr(0, k))) continue;
    for (const int32_t id : allowed) {
      if (closer.substr(k).starts_with(DemoTokenizer()->TokenBytes(id))) return id;
    }
  }
  return -1;
}

// Draws tokens uniformly from what is allowed; from n_free tokens on it hurries to the end: quotes and brackets first,
// or towards closer.
inline Walk RandomWalk(TokenConstraint& constraint, std::mt19937& rng, std::string_view closer = "", int n_free = 60,
                       int n_max = 2000) {
  const auto tokenizer = DemoTokenizer();
  auto mask = EmptyMask();
  Walk walk;
  for (int n = 0; n < n_max; ++n) {
    const auto may_end = constraint.ComputeMask(mask);
    if (!may_end) {
      ADD_FAILURE() << may_end.error().ToString() << " after " << walk.text;
      return walk;
    }
    std::vector<int32_t> all;
    std::vector<int32_t> closing;
    for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
      if (!Has(mask, id)) continue;
      all.push_back(id);
      const char first = tokenizer->TokenBytes(id)[0];
      if (first == '"' || first == '}' || first == ']' || first == '<') closing.push_back(id);
    }
    if (*may_end && (all.empty() || n >= n_free || rng() % 3 == 0)) {
      walk.ended = true;
      return walk;
    }
    if (all.empty()) {
      ADD_FAILURE() << "nothing may come and the text may not end: " << walk.text;
      return walk;
    }
    const bool hurries = n >= n_free || rng() % 4 == 0;
    int32_t id = hurries && !closer.empty() ? TowardsCloser(walk.text, closer, all) : -1;
    const auto& from = hurries && !closing.empty() ? closing : all;
    if (id < 0) id = from[rng() % from.size()];
    walk.text += tokenizer->TokenBytes(id);
    const auto accepted = constraint.Accept(id);
    EXPECT_TRUE(accepted.has_value()) << accepted.error().ToString();
  }
  return walk;
}

}  // namespace quern::grammar
