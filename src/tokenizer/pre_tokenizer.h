// Cuts text into the pieces that BPE works on, exactly as this expression does (alternatives in order, first wins):
//   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N} |  ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+
//   | \s+(?!\S) | \s+
// Every character belongs to exactly one piece. Each character is looked at a bounded number of times, so cutting a
// text takes time proportional to its length, whatever the text is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tokenizer/unicode_classes.h"

namespace quern::tokenizer {

// Reads classes from valid UTF-8. A test replaces it by one that counts.
class Utf8ClassReader {
 public:
  explicit Utf8ClassReader(std::string_view text) : data_(text.data()), size_(text.size()) {}

  struct Char {
    CharClass cls;
    uint32_t length;  // in bytes
  };

  size_t size() const { return size_; }
  char Byte(size_t at) const { return data_[at]; }

  Char At(size_t at) const {
    const uint8_t cls = kByteClass[static_cast<uint8_t>(data_[at])];
    if (cls != kNotAscii) [[likely]]
      return {static_cast<CharClass>(cls), 1};
    return Wide(at);
  }

 private:
  Char Wide(size_t at) const {
    const auto b = [&](size_t i) { return static_cast<int32_t>(static_cast<uint8_t>(data_[at + i])); };
    int32_t c = 0;
    uint32_t n = 0;
    if (b(0) < 0xE0) {
      c = (b(0) & 0x1F) << 6 | (b(1) & 0x3F);
      n = 2;
    } else if (b(0) < 0xF0) {
      c = (b(0) & 0x0F) << 12 | (b(1) & 0x3F) << 6 | (b(2) & 0x3F);
      n = 3;
    } else {
      c = (b(0) & 0x07) << 18 | (b(1) & 0x3F) << 12 | (b(2) & 0x3F) << 6 | (b(3) & 0x3F);
      n = 4;
    }
    return {static_cast<CharClass>(UnicodeFlags(c) & kClassMask), n};
  }

  const char* data_;
  size_t size_;
};

namespace internal {

// First position from `at` on whose character is not of class cls.
template <class Reader>
size_t SkipClass(const Reader& text, size_t at, CharClass cls) {
  while (at < text.size()) {
    const auto c = text.At(at);
    if (c.cls != cls) break;
    at += c.length;
  }
  return at;
}

// Bytes of 's 't 're 've 'm 'll 'd in any case at the apostrophe `at`, or 0. Case folding also makes U+017F an s.
template <class Reader>
size_t ContractionLength(const Reader& text, size_t at) {
  const size_t left = text.size() - at;
  if (left < 2) return 0;
  const auto lower = [&](size_t i) { return text.Byte(at + i) | 0x20; };
  switch (lower(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return left >= 3 && lower(2) == 'e' ? 3 : 0;
    case 'l':
      return left >= 3 && lower(2) == 'l' ? 3 : 0;
    default:
      return left >= 3 && text.Byte(at + 1) == '\xC5' && text.Byte(at + 2) == '\xBF' ? 3 : 0;
  }
}

// End of a piece of whitespace that begins at `at`.
template <class Reader>
size_t WhitespaceEnd(const Reader& text, size_t at) {
  size_t end = at;
  size_t last_char = at;     // where the run's last character begins
  size_t after_newline = 0;  // end of the run's last CR or LF
  while (end < text.size()) {
    const auto c = text.At(end);
    if (c.cls != CharClass::kBlank && c.cls != CharClass::kNewline) break;
    last_char = end;
    end += c.length;
    if (c.cls == CharClass::kNewline) after_newline = end;
  }
  if (after_newline != 0) return after_newline;           // \s*[\r\n]+
  if (end == text.size() || last_char == at) return end;  // \s+(?!\S) at the end of the text; a lone blank by \s+
  return last_char;                                       // \s+(?!\S): the last blank is left for the word
}

}  // namespace internal

// End of the piece that begins at `at`; at < text.size() and a piece begins there.
template <class Reader>
inline size_t PieceEnd(const Reader& text, size_t at) {
  const auto first = text.At(at);
  const size_t second = at + first.length;
  switch (first.cls) {
    case CharClass::kLetter:
      return internal::SkipClass(text, second, CharClass::kLetter);
    case CharClass::kNumber:
      return second;
    case CharClass::kNewline:
      return internal::WhitespaceEnd(text, at);
    case CharClass::kBlank:
    case CharClass::kOther:
      break;
  }
  if (text.Byte(at) == '\'') {
    if (const size_t n = internal::ContractionLength(text, at); n != 0) return at + n;
  }
  size_t end = second;
  if (second < text.size()) {
    const auto next = text.At(second);
    if (next.cls == CharClass::kLetter) return internal::SkipClass(text, second + next.length, CharClass::kLetter);
    if (first.cls == CharClass::kBlank) {
      if (next.cls != CharClass::kOther || text.Byte(at) != ' ') return internal::WhitespaceEnd(text, at);
      end = second + next.length;
    }
  } else if (first.cls == CharClass::kBlank) {
    return second;
  }
  end = internal::SkipClass(text, end, CharClass::kOther);
  return internal::SkipClass(text, end, CharClass::kNewline);
}

}  // namespace quern::tokenizer
