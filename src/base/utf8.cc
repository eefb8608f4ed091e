#include "base/utf8.h"

namespace quern {
namespace {

struct LeadInfo {
  int length;      // 0 for a byte that cannot lead
  uint8_t lo, hi;  // allowed range of the second byte
};

// Second-byte ranges exclude overlong forms, surrogates and values above U+10FFFF (Unicode table 3-7).
LeadInfo Lead(uint8_t b) {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};
  if (b < 0xF0) return {3, 0x80, 0xBF};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b < 0xF4) return {4, 0x80, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

uint8_t At(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// Bytes at `at` that form a prefix of some well-formed character; sets complete when they are one.
int WellFormedPrefix(std::string_view text, size_t at, bool* complete) {
  *complete = false;
  const LeadInfo lead = Lead(At(text, at));
  if (lead.length == 0) return 0;
  int n = 1;
  while (n < lead.length && at + n < text.size()) {
    const uint8_t b = At(text, at + n);
    const uint8_t lo = n == 1 ? lead.lo : 0x80;
    const uint8_t hi = n == 1 ? lead.hi : 0xBF;
    if (b < lo || b > hi) return n;
    ++n;
  }
  *complete = n == lead.length;
  return n;
}

}  // namespace

Utf8Char DecodeUtf8(std::string_view text, size_t at) {
  const uint8_t b0 = At(text, at);
  if (b0 < 0x80) return {b0, 1};
  bool complete = false;
  const int n = WellFormedPrefix(text, at, &complete);
  if (!complete) return {-1, 1};
  static constexpr uint8_t kLeadMask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  int32_t code_point = b0 & kLeadMask[n];
  for (int i = 1; i < n; ++i) code_point = (code_point << 6) | (At(text, at + i) & 0x3F);
  return {code_point, n};
}

void AppendUtf8(std::string& out, int32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

bool IsValidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    if (c.code_point < 0) return false;
    at += static_cast<size_t>(c.length);
  }
  return true;
}

size_t IncompleteUtf8Suffix(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    if ((At(text, at) & 0xC0) == 0x80) continue;
    bool complete = false;
    const int n = WellFormedPrefix(text, at, &complete);
    return !complete && static_cast<size_t>(n) == back ? back : 0;
  }
  return 0;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    bool complete = false;
    const int n = WellFormedPrefix(text, at, &complete);
    if (complete) {
      out.append(text.substr(at, static_cast<size_t>(n)));
    } else {
      out += "\xEF\xBF\xBD";
    }
    at += n > 0 ? static_cast<size_t>(n) : 1;
  }
  return out;
}

}  // namespace quern
