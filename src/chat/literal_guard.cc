#include "chat/literal_guard.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace quern::chat {
namespace {

constexpr std::array<std::string_view, 6> kFimTokens = {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
                                                        "<|fim_pad|>",    "<|repo_name|>",  "<|file_sep|>"};

// CJK ideographs, extension B: assigned since Unicode 3.1, letters without case, unchanged by normalisation.
constexpr int32_t kFirstStandIn = 0x20000;
constexpr int32_t kEndStandIn = 0x2A6D7;

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

size_t FimTokenAt(std::string_view text, size_t at) {
  for (const std::string_view token : kFimTokens) {
    if (text.substr(at, token.size()) == token) return token.size();
  }
  return 0;
}

// Calls visit(at) for every '|' that needs a stand-in, in order.
template <typename Visit>
void ForEachRisk(std::string_view text, FimTokens fim, const Visit& visit) {
  size_t first = 0;
  size_t last = text.size();
  while (first < last && IsBlank(text[first])) ++first;
  while (last > first && IsBlank(text[last - 1])) --last;
  for (size_t at = text.find('|'); at != std::string_view::npos; at = text.find('|', at)) {
    if (fim == FimTokens::kAct && at > 0) {
      if (const size_t n = FimTokenAt(text, at - 1); n > 0) {
        at += n - 1;
        continue;
      }
    }
    const bool opens = at == first || (at > 0 && text[at - 1] == '<');
    const bool closes = at + 1 == last || (at + 1 < text.size() && text[at + 1] == '>');
    if (opens || closes) visit(at);
    ++at;
  }
}

void MarkUsed(std::string_view text, std::vector<bool>& used) {
  for (size_t at = text.find('\xF0'); at != std::string_view::npos; at = text.find('\xF0', at + 1)) {
    const Utf8Char c = DecodeUtf8(text, at);
    if (c.code_point >= kFirstStandIn && c.code_point < kEndStandIn) used[c.code_point - kFirstStandIn] = true;
  }
}

}  // namespace

bool NeedsGuard(std::string_view text, FimTokens fim) {
  bool found = false;
  ForEachRisk(text, fim, [&](size_t) { found = true; });
  return found;
}

void AppendGuarded(std::string& out, std::string_view text, FimTokens fim, std::string_view stand_in) {
  size_t done = 0;
  ForEachRisk(text, fim, [&](size_t at) {
    out.append(text, done, at - done);
    out += stand_in;
    done = at + 1;
  });
  out.append(text, done);
}

Result<std::vector<std::string>> UnusedCharacters(size_t n, std::string_view a, std::string_view b) {
  std::vector<bool> used(kEndStandIn - kFirstStandIn, false);
  MarkUsed(a, used);
  MarkUsed(b, used);
  std::vector<std::string> out;
  for (size_t i = 0; i < used.size() && out.size() < n; ++i) {
    if (!used[i]) AppendUtf8(out.emplace_back(), kFirstStandIn + static_cast<int32_t>(i));
  }
  if (out.size() < n) {
    return Error(Code::kExhausted,
                 "the messages contain control tokens and nearly every rare character: no character "
                 "is left to keep them apart");
  }
  return out;
}

std::vector<tokenizer::ByteRange> RestoreGuarded(std::string& text, std::string_view stand_in) {
  std::vector<tokenizer::ByteRange> ranges;
  std::string restored;
  restored.reserve(text.size());
  size_t done = 0;
  for (size_t at = text.find(stand_in); at != std::string::npos; at = text.find(stand_in, done)) {
    restored.append(text, done, at - done);
    if (!ranges.empty() && ranges.back().end == restored.size()) {
      ++ranges.back().end;
    } else {
      ranges.push_back({restored.size(), restored.size() + 1});
    }
    restored += '|';
    done = at + stand_in.size();
  }
  if (done > 0) {
    restored.append(text, done);
    text = std::move(restored);
  }
  return ranges;
}

}  // namespace quern::chat
