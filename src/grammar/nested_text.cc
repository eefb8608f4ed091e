#include "grammar/nested_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "grammar/lark_text.h"
#include "grammar/token_index.h"

namespace quern::grammar {
namespace {

using GrammarPtr = std::shared_ptr<const Grammar>;
using Mask = std::vector<uint32_t>;

void SetBit(std::span<uint32_t> mask, int32_t id, bool value) {
  const auto word = static_cast<size_t>(id) / 32;
  if (word >= mask.size()) return;
  const uint32_t bit = 1U << (static_cast<uint32_t>(id) % 32U);
  mask[word] = value ? mask[word] | bit : mask[word] & ~bit;
}

struct CompiledText {
  std::string opener;
  std::string closer;
  GrammarPtr text;
  GrammarPtr closed;                 // the text and its closer, as far as one lexer can follow
  Mask across;                       // tokens that begin in the text and end in the closer
  std::vector<int32_t> run_through;  // tokens that begin in the text and have all of the closer in them
};

// What all constraints of a grammar share.
struct Nesting {
  std::shared_ptr<const TokenIndex> tokens;
  std::vector<CompiledText> texts;
  size_t max_opener_bytes = 0;
};

// A text that is being written. Its constraint takes every byte as the text's own; where those may be the closer's
// instead, may_close_ says so.
class OpenText {
 public:
  OpenText(const CompiledText& compiled, const TokenIndex& tokens, std::unique_ptr<TokenConstraint> text,
           std::unique_ptr<TokenConstraint> closed)
      : compiled_(compiled), tokens_(tokens), text_(std::move(text)), closed_(std::move(closed)) {}

  // Clears the bits of tokens that can neither be the text's nor its closer's. Errors: the text's grammar's.
  Result<void> Restrict(std::span<uint32_t> mask) {
    allowed_.assign(mask.size(), 0);
    bool may_end = false;
    if (text_) {
      QUERN_ASSIGN(may_end, text_->ComputeMask(allowed_));
    }
    if (closed_) {
      across_.assign(mask.size(), 0);
      if (!closed_->ComputeMask(across_)) closed_.reset();
      const size_t n = std::min(mask.size(), compiled_.across.size());
      for (size_t i = 0; i < n; ++i) allowed_[i] |= across_[i] & compiled_.across[i];
    }
    for (const int32_t id : compiled_.run_through) SetBit(allowed_, id, false);
    AllowCloser(0, may_end);
    if (n_closed_ > 0) AllowCloser(n_closed_, may_close_);
    for (size_t i = 0; i < mask.size(); ++i) mask[i] &= allowed_[i];
    return {};
  }

  // Takes the first of the bytes that are left of a token. True when it ends the closer. Errors: kInvalidArgument (the
  // text does not fit).
  Result<bool> Take(std::string_view bytes) {
    const std::string_view closer = compiled_.closer;
    if (bytes[0] == closer[0]) {
      n_closed_ = 1;
      // Not asked for where the token's next bytes show that it is no closer.
      may_close_ =
          (closer.starts_with(bytes) || bytes.starts_with(closer)) && text_ && text_->ComputeMask({}).value_or(false);
    } else if (n_closed_ > 0 && bytes[0] == closer[n_closed_]) {
      ++n_closed_;
    } else {
      n_closed_ = 0;
      may_close_ = false;
    }
    const bool is_closed = n_closed_ == closer.size();
    for (auto* constraint : {&text_, &closed_}) {
      if (*constraint && (is_closed || !(*constraint)->Accept(tokens_.OfByte(bytes[0])))) constraint->reset();
    }
    if (!may_close_ && !text_) return Error(Code::kInvalidArgument, "the grammar of a nested text does not allow this");
    return is_closed;
  }

 private:
  // may: bytes from here on may be the closer's from its n-th on. Where they may not, they may be the text's still, but
  // never all of the closer.
  void AllowCloser(size_t n, bool may) {
    const std::string_view rest = std::string_view(compiled_.closer).substr(n);
    for (const int32_t id : tokens_.WithPrefix(rest)) SetBit(allowed_, id, may);
    if (!may) return;
    for (size_t k = 1; k < rest.size(); ++k) {
      for (const int32_t id : tokens_.Equal(rest.substr(0, k))) SetBit(allowed_, id, true);
    }
  }

  const CompiledText& compiled_;
  const TokenIndex& tokens_;
  std::unique_ptr<TokenConstraint> text_;    // null: the bytes so far are no beginning of a text
  std::unique_ptr<TokenConstraint> closed_;  // null: it lost the way
  size_t n_closed_ = 0;                      // bytes of the closer that the bytes so far end with
  bool may_close_ = false;                   // the text was complete in front of them
  Mask allowed_;
  Mask across_;
};

class NestedConstraint final : public TokenConstraint {
 public:
  NestedConstraint(std::shared_ptr<const Nesting> nesting, std::unique_ptr<TokenConstraint> outer)
      : nesting_(std::move(nesting)), outer_(std::move(outer)) {}

  Result<bool> ComputeMask(std::span<uint32_t> mask) override {
    if (broken_) return std::unexpected(*broken_);
    QUERN_ASSIGN(const bool may_end, outer_->ComputeMask(mask));
    if (!open_) {
      KeepOpenersApart(mask);
    } else if (auto done = open_->Restrict(mask); !done) {
      return Break(done.error());
    }
    const bool any = std::any_of(mask.begin(), mask.end(), [](uint32_t bits) { return bits != 0; });
    if (!any && !may_end)
      return Break(
          Status(Code::kInvalidArgument, "the grammar: a nested text came to where it can neither go on nor end"));
    return may_end;
  }

  Result<void> Accept(int32_t token) override {
    if (broken_) return std::unexpected(*broken_);
    QUERN_TRY(outer_->Accept(token));
    const std::string_view bytes = nesting_->tokens->BytesOf(token);
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (auto taken = Take(bytes.substr(i)); !taken) return Break(taken.error());
    }
    return {};
  }

 private:
  std::unexpected<Status> Break(const Status& status) {
    broken_ = std::make_unique<Status>(status);
    return std::unexpected(*broken_);
  }

  // The first of the bytes.
  Result<void> Take(std::string_view bytes) {
    if (open_) {
      QUERN_ASSIGN(const bool is_closed, open_->Take(bytes));
      if (is_closed) open_.reset();
      return {};
    }
    if (outside_.size() >= 2 * nesting_->max_opener_bytes) outside_.erase(0, nesting_->max_opener_bytes);
    outside_ += bytes[0];
    for (const CompiledText& compiled : nesting_->texts) {
      if (!outside_.ends_with(compiled.opener)) continue;
      QUERN_ASSIGN(auto text, compiled.text->Start());
      QUERN_ASSIGN(auto closed, compiled.closed->Start());
      open_.emplace(compiled, *nesting_->tokens, std::move(text), std::move(closed));
      outside_.clear();
      break;
    }
    return {};
  }

  // What such tokens hold of the text is nobody's to judge yet.
  void KeepOpenersApart(std::span<uint32_t> mask) const {
    for (const CompiledText& compiled : nesting_->texts) {
      const std::string_view opener = compiled.opener;
      for (size_t n = 1; n < opener.size(); ++n) {
        if (!outside_.ends_with(opener.substr(0, n))) continue;
        const auto rest = nesting_->tokens->WithPrefix(opener.substr(n));
        const auto exact = nesting_->tokens->Equal(opener.substr(n));
        for (const int32_t id : rest.subspan(exact.size())) SetBit(mask, id, false);
      }
    }
  }

  const std::shared_ptr<const Nesting> nesting_;
  const std::unique_ptr<TokenConstraint> outer_;
  std::optional<OpenText> open_;
  std::string outside_;  // the last bytes since a nested text, enough of them to know an opener
  std::unique_ptr<Status> broken_;
};

class NestedGrammar final : public Grammar {
 public:
  NestedGrammar(std::shared_ptr<const Nesting> nesting, GrammarPtr outer, std::vector<int32_t> begun)
      : nesting_(std::move(nesting)), outer_(std::move(outer)), begun_(std::move(begun)) {}

  Result<std::unique_ptr<TokenConstraint>> Start() const override {
    QUERN_ASSIGN(auto outer, outer_->Start());
    auto constraint = std::make_unique<NestedConstraint>(nesting_, std::move(outer));
    for (const int32_t token : begun_) QUERN_TRY(constraint->Accept(token));
    return constraint;
  }

  Result<GrammarPtr> After(std::span<const int32_t> tokens) const override {
    std::vector<int32_t> begun = begun_;
    begun.insert(begun.end(), tokens.begin(), tokens.end());
    auto grammar = std::make_shared<const NestedGrammar>(nesting_, outer_, std::move(begun));
    QUERN_TRY(grammar->Start());
    return grammar;
  }

 private:
  const std::shared_ptr<const Nesting> nesting_;
  const GrammarPtr outer_;
  const std::vector<int32_t> begun_;
};

// Sorts the tokens with the closer's first byte behind their own first.
void SortByCloser(const TokenIndex& tokens, CompiledText& compiled) {
  const std::string_view closer = compiled.closer;
  for (const int32_t id : tokens.ids()) {
    const std::string_view bytes = tokens.BytesOf(id);
    const size_t last = bytes.rfind(closer[0]);
    if (last == std::string_view::npos) continue;
    if (last > 0 && closer.starts_with(bytes.substr(last))) {
      const size_t word = static_cast<size_t>(id) / 32;
      compiled.across.resize(std::max(compiled.across.size(), word + 1));
      SetBit(compiled.across, id, true);
    }
    if (bytes.find(closer, 1) != std::string_view::npos) compiled.run_through.push_back(id);
  }
}

Result<CompiledText> CompileText(GrammarCompiler& compiler, const TokenIndex& tokens, const NestedText& text) {
  QUERN_CHECK(!text.opener.empty() && !text.closer.empty() && text.closer.find(text.closer[0], 1) == std::string::npos);
  CompiledText compiled{
      .opener = text.opener, .closer = text.closer, .text = {}, .closed = {}, .across = {}, .run_through = {}};
  QUERN_ASSIGN(compiled.text, compiler.Compile({GrammarKind::kLark, text.lark}));
  const std::string closed =
      fmt::format("start: text {}\ntext: %lark {{\n{}\n}}\n", LarkString(text.closer), text.lark);
  QUERN_ASSIGN(compiled.closed, compiler.Compile({GrammarKind::kLark, closed}));
  SortByCloser(tokens, compiled);
  return compiled;
}

}  // namespace

Result<GrammarPtr> CompileNested(GrammarCompiler& compiler, const GrammarSource& outer,
                                 std::span<const NestedText> texts) {
  QUERN_ASSIGN(GrammarPtr whole, compiler.Compile(outer));
  if (texts.empty()) return whole;
  auto nesting = std::make_shared<Nesting>();
  if (texts.size() > kMaxNestedTexts)
    return Error(Code::kExhausted,
                 fmt::format("{} texts have a grammar, at most {} may", texts.size(), kMaxNestedTexts));
  nesting->tokens = compiler.Tokens();
  for (int byte = 0; byte < 256; ++byte) {
    if (nesting->tokens->OfByte(static_cast<char>(byte)) < 0)
      return Error(Code::kUnsupported, fmt::format("the vocabulary has no token for the byte {:#04x}", byte));
  }
  for (const NestedText& text : texts) {
    auto compiled = CompileText(compiler, *nesting->tokens, text);
    if (!compiled) return std::unexpected(compiled.error().WithContext(fmt::format("the grammar of '{}'", text.name)));
    nesting->max_opener_bytes = std::max(nesting->max_opener_bytes, text.opener.size());
    nesting->texts.push_back(*std::move(compiled));
  }
  return std::make_shared<const NestedGrammar>(std::move(nesting), std::move(whole), std::vector<int32_t>());
}

}  // namespace quern::grammar
