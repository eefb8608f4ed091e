#include "grammar/grammar_compiler.h"

#include <fmt/core.h>
#include <quern_deps.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace quern::grammar {
namespace {

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

// Messages come with pictures of the place, over several lines.
std::string OnOneLine(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, text.find("<non-verbose/>"))) {
    const bool blank = c == ' ' || c == '\n' || c == '\t';
    if (!blank || (!out.empty() && out.back() != ' ')) out += blank ? ' ' : c;
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '.')) out.pop_back();
  return out;
}

// The text of outcome is ours to free.
Result<void> Check(quern_outcome outcome) {
  std::string text = OnOneLine({reinterpret_cast<const char*>(outcome.text.data), outcome.text.size});
  quern_text_free(outcome.text);
  switch (outcome.code) {
    case QUERN_OK:
      return {};
    case QUERN_INVALID:
      return Error(Code::kInvalidArgument, std::move(text));
    case QUERN_LIMIT:
      return Error(Code::kExhausted, std::move(text));
    default:
      return Error(Code::kInternal, std::move(text));
  }
}

struct FreeVocabulary {
  void operator()(quern_vocabulary* vocabulary) const { quern_vocabulary_free(vocabulary); }
};
struct FreeMatcher {
  void operator()(quern_matcher* matcher) const { quern_matcher_free(matcher); }
};
using VocabularyPtr = std::unique_ptr<quern_vocabulary, FreeVocabulary>;
using MatcherPtr = std::unique_ptr<quern_matcher, FreeMatcher>;

std::string_view KindName(GrammarKind kind) {
  switch (kind) {
    case GrammarKind::kJsonSchema:
      return "json_schema";
    case GrammarKind::kRegex:
      return "regex";
    case GrammarKind::kLark:
      return "lark";
  }
  return "";
}

Result<void> Consume(quern_matcher& matcher, int32_t token) {
  if (token < 0) return Error(Code::kInvalidArgument, fmt::format("{} is no token", token));
  return Check(quern_matcher_consume(&matcher, static_cast<uint32_t>(token)));
}

// The vocabulary's ids, and behind them one that stands for the end of the text, whichever token writes it. A grammar
// may ask for a control token by name or number; those are left out of what it allows.
struct TextIds {
  explicit TextIds(const tokenizer::Tokenizer& tokenizer)
      : n(static_cast<size_t>(tokenizer.vocab_size()) + 1), mask((n + 31) / 32, ~0U) {
    for (const auto& token : tokenizer.added_tokens()) {
      if (IsControlToken(tokenizer, token.id)) mask[static_cast<size_t>(token.id) / 32] &= ~(1U << (token.id % 32));
    }
  }

  bool Has(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < n && (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1U) != 0;
  }

  const size_t n;
  std::vector<uint32_t> mask;
};

class Constraint final : public TokenConstraint {
 public:
  Constraint(MatcherPtr matcher, std::shared_ptr<const TextIds> ids)
      : matcher_(std::move(matcher)), ids_(std::move(ids)), mask_(ids_->mask.size()) {}

  Result<bool> ComputeMask(std::span<uint32_t> mask) override {
    if (broken_) return std::unexpected(*broken_);
    if (auto done = Check(quern_matcher_mask(matcher_.get(), mask_.data(), mask_.size())); !done) return Break(done);
    for (size_t i = 0; i < mask_.size(); ++i) mask_[i] &= ids_->mask[i];
    const size_t end = ids_->n - 1;
    const bool may_end = (mask_[end / 32] >> (end % 32) & 1U) != 0;
    mask_[end / 32] &= ~(1U << (end % 32));
    const size_t n = std::min(mask.size(), mask_.size());
    std::copy_n(mask_.begin(), n, mask.begin());
    std::fill(mask.begin() + static_cast<std::ptrdiff_t>(n), mask.end(), 0U);
    return may_end;
  }

  Result<void> Accept(int32_t token) override {
    if (broken_) return std::unexpected(*broken_);
    if (!ids_->Has(token)) return Break(Error(Code::kInvalidArgument, fmt::format("token {} is no text", token)));
    if (auto done = Consume(*matcher_, token); !done) return Break(done);
    return {};
  }

 private:
  std::unexpected<Status> Break(const Result<void>& failed) {
    // Another try would fail at the same place: nothing is exhausted that comes back.
    const Code code = failed.error().code() == Code::kExhausted ? Code::kInvalidArgument : failed.error().code();
    broken_ = std::make_unique<Status>(code, "the grammar: " + failed.error().message());
    return std::unexpected(*broken_);
  }

  MatcherPtr matcher_;
  const std::shared_ptr<const TextIds> ids_;
  std::vector<uint32_t> mask_;
  std::unique_ptr<Status> broken_;
};

class Compiled final : public Grammar {
 public:
  // source: none where some of its text was written already.
  Compiled(MatcherPtr matcher, std::shared_ptr<const TextIds> ids, std::optional<GrammarSource> source)
      : matcher_(std::move(matcher)), ids_(std::move(ids)), source_(std::move(source)) {}

  Result<std::unique_ptr<TokenConstraint>> Start() const override {
    QUERN_ASSIGN(MatcherPtr copy, Copy());
    return std::make_unique<Constraint>(std::move(copy), ids_);
  }

  Result<std::shared_ptr<const Grammar>> After(std::span<const int32_t> tokens) const override {
    QUERN_ASSIGN(MatcherPtr copy, Copy());
    for (const int32_t token : tokens) QUERN_TRY(Consume(*copy, token));
    return std::make_shared<const Compiled>(std::move(copy), ids_, std::nullopt);
  }

  const GrammarSource* source() const override { return source_ ? &*source_ : nullptr; }

 private:
  Result<MatcherPtr> Copy() const {
    std::lock_guard lock(mutex_);
    quern_matcher* copy = nullptr;
    QUERN_TRY(Check(quern_matcher_clone(matcher_.get(), &copy)));
    return MatcherPtr(copy);
  }

  mutable std::mutex mutex_;  // guards matcher_, which is only ever copied
  const MatcherPtr matcher_;
  const std::shared_ptr<const TextIds> ids_;
  const std::optional<GrammarSource> source_;
};

// The compiled grammars used last, by their sources.
class Cache {
 public:
  explicit Cache(const GrammarLimits& limits) : max_entries_(limits.max_cached), max_bytes_(limits.max_cached_bytes) {}

  std::shared_ptr<const Grammar> Find(const GrammarSource& source) {
    std::lock_guard lock(mutex_);
    const auto it =
        std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return *e->source() == source; });
    if (it == entries_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, it);
    return *it;
  }

  // With a source.
  void Add(std::shared_ptr<const Grammar> grammar) {
    std::lock_guard lock(mutex_);
    n_bytes_ += grammar->source()->text.size();
    entries_.push_front(std::move(grammar));
    while (entries_.size() > max_entries_ || n_bytes_ > max_bytes_) {
      n_bytes_ -= entries_.back()->source()->text.size();
      entries_.pop_back();
    }
  }

 private:
  const size_t max_entries_;
  const size_t max_bytes_;
  std::mutex mutex_;
  std::list<std::shared_ptr<const Grammar>> entries_;  // the one used last first
  size_t n_bytes_ = 0;
};

class Compiler final : public GrammarCompiler {
 public:
  Compiler(std::shared_ptr<const tokenizer::Tokenizer> tokenizer, const GrammarLimits& limits)
      : tokenizer_(std::move(tokenizer)),
        ids_(std::make_shared<const TextIds>(*tokenizer_)),
        limits_(limits),
        cache_(limits) {}

  Result<std::shared_ptr<const Grammar>> Compile(const GrammarSource& source) override {
    if (source.text.size() > limits_.max_source_bytes)
      return Error(Code::kExhausted, fmt::format("the grammar has {} bytes, at most {} are allowed (max_source_bytes)",
                                                 source.text.size(), limits_.max_source_bytes));
    if (auto known = cache_.Find(source)) return known;
    QUERN_ASSIGN(const quern_vocabulary* vocabulary, Vocabulary());
    quern_matcher* matcher = nullptr;
    const std::string_view kind = KindName(source.kind);
    QUERN_TRY(Check(
        quern_matcher_new(vocabulary, Bytes(kind), kind.size(), Bytes(source.text), source.text.size(), &matcher)));
    auto compiled = std::make_shared<const Compiled>(MatcherPtr(matcher), ids_, source);
    QUERN_TRY(CheckBeginning(*compiled));
    cache_.Add(compiled);
    return compiled;
  }

  std::shared_ptr<const TokenIndex> Tokens() override {
    std::lock_guard lock(mutex_);
    if (!tokens_) tokens_ = std::make_shared<const TokenIndex>(tokenizer_);
    return tokens_;
  }

 private:
  // The first mask finds grammars that lead nowhere or cost too much, before a generation does.
  Result<void> CheckBeginning(const Grammar& grammar) const {
    QUERN_ASSIGN(const auto constraint, grammar.Start());
    std::vector<uint32_t> mask(ids_->mask.size());
    const auto may_end = constraint->ComputeMask(mask);
    if (!may_end && may_end.error().code() != Code::kInvalidArgument) return std::unexpected(may_end.error());
    const bool any = std::any_of(mask.begin(), mask.end(), [](uint32_t bits) { return bits != 0; });
    if (!any && !may_end.value_or(false)) return Error(Code::kInvalidArgument, "the grammar accepts no text");
    return {};
  }

  Result<const quern_vocabulary*> Vocabulary() {
    std::lock_guard lock(mutex_);
    if (!vocabulary_) {
      QUERN_ASSIGN(vocabulary_, ReadVocabulary());
    }
    return vocabulary_.get();
  }

  Result<VocabularyPtr> ReadVocabulary() const {
    std::string words;
    std::vector<size_t> ends;
    for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
      const std::string_view bytes = tokenizer_->TokenBytes(id);
      if (IsControlToken(*tokenizer_, id)) words += '\xff';
      words += bytes;
      ends.push_back(words.size());
    }
    words += "\xff<|end of text|>";
    ends.push_back(words.size());
    const quern_grammar_limits limits{.initial_lexer_fuel = limits_.compile_fuel,
                                      .step_lexer_fuel = limits_.mask_fuel,
                                      .step_max_items = limits_.mask_items,
                                      .max_lexer_states = limits_.max_lexer_states,
                                      .max_grammar_size = limits_.max_symbols};
    quern_vocabulary* vocabulary = nullptr;
    QUERN_TRY(Check(quern_vocabulary_new(Bytes(words), ends.data(), ends.size(),
                                         static_cast<uint32_t>(tokenizer_->vocab_size()), &limits, &vocabulary)));
    return VocabularyPtr(vocabulary);
  }

  const std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  const std::shared_ptr<const TextIds> ids_;
  const GrammarLimits limits_;
  Cache cache_;
  std::mutex mutex_;  // guards both until they are there
  VocabularyPtr vocabulary_;
  std::shared_ptr<const TokenIndex> tokens_;
};

}  // namespace

std::shared_ptr<GrammarCompiler> GrammarCompiler::Create(std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                                         const GrammarLimits& limits) {
  return std::make_shared<Compiler>(std::move(tokenizer), limits);
}

}  // namespace quern::grammar
