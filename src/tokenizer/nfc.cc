#include "tokenizer/nfc.h"

#include <utf8proc.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/utf8.h"
#include "tokenizer/unicode_classes.h"

namespace quern::tokenizer {
namespace {

size_t SkipAscii(std::string_view text, size_t at) {
  while (at + 8 <= text.size()) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & 0x8080808080808080u) != 0) break;
    at += 8;
  }
  while (at < text.size() && static_cast<uint8_t>(text[at]) < 0x80) ++at;
  return at;
}

enum class Finding { kClean, kInvalid, kMayChange };

// Valid UTF-8 in which nothing can change is the case of nearly all text.
Finding Inspect(std::string_view text) {
  Finding finding = Finding::kClean;
  for (size_t at = SkipAscii(text, 0); at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    if (c.code_point < 0) return Finding::kInvalid;
    if ((UnicodeFlags(c.code_point) & kMayChange) != 0) finding = Finding::kMayChange;
    at += static_cast<size_t>(c.length);
    if (at < text.size() && static_cast<uint8_t>(text[at]) < 0x80) at = SkipAscii(text, at);
  }
  return finding;
}

// Canonical decomposition of one code point, appended.
void Decompose(int32_t code_point, std::vector<int32_t>& out) {
  int32_t parts[16];
  int boundary = 0;
  const auto n = utf8proc_decompose_char(code_point, parts, 16, UTF8PROC_DECOMPOSE, &boundary);
  if (n <= 0 || n > 16) {  // not assigned, or longer than any canonical decomposition is
    out.push_back(code_point);
  } else {
    out.insert(out.end(), parts, parts + n);
  }
}

int CombiningClass(int32_t code_point) { return utf8proc_get_property(code_point)->combining_class; }

// Orders a run of marks by combining class, equal ones as they stand. Counting, so that no run is slow: utf8proc's own
// ordering is a bubble sort.
void OrderMarks(std::span<int32_t> marks) {
  if (marks.size() < 2) return;
  std::array<size_t, 257> starts{};
  for (const int32_t mark : marks) ++starts[static_cast<size_t>(CombiningClass(mark)) + 1];
  for (size_t c = 1; c < starts.size(); ++c) starts[c] += starts[c - 1];
  const std::vector<int32_t> unordered(marks.begin(), marks.end());
  for (const int32_t mark : unordered) marks[starts[static_cast<size_t>(CombiningClass(mark))]++] = mark;
}

void Reorder(std::vector<int32_t>& points) {
  for (size_t i = 0; i < points.size();) {
    size_t end = i;
    while (end < points.size() && CombiningClass(points[end]) != 0) ++end;
    OrderMarks(std::span(points).subspan(i, end - i));
    i = end + 1;
  }
}

// Normalises a stretch that no character outside can interact with.
void NormalizeStretch(std::string_view stretch, std::vector<int32_t>& points, std::string& out) {
  points.clear();
  for (size_t at = 0; at < stretch.size();) {
    const Utf8Char c = DecodeUtf8(stretch, at);
    Decompose(c.code_point, points);
    at += static_cast<size_t>(c.length);
  }
  Reorder(points);
  auto n = utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                                    static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (n < 0) n = static_cast<utf8proc_ssize_t>(points.size());
  for (utf8proc_ssize_t i = 0; i < n; ++i) AppendUtf8(out, points[static_cast<size_t>(i)]);
}

// text: valid UTF-8. A stretch is a character that nothing before can touch, and the changeable ones after it.
void Normalize(std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size() + text.size() / 8);
  std::vector<int32_t> points;
  size_t done = 0;    // what is before is in out
  size_t anchor = 0;  // where a stretch begins if the next character is changeable
  size_t at = 0;
  while (at < text.size()) {
    if (const size_t ascii_end = SkipAscii(text, at); ascii_end != at) {
      anchor = ascii_end - 1;
      at = ascii_end;
      continue;
    }
    const Utf8Char c = DecodeUtf8(text, at);
    const uint8_t flags = UnicodeFlags(c.code_point);
    const size_t next = at + static_cast<size_t>(c.length);
    if ((flags & kMayChange) == 0) {
      anchor = (flags & kInert) != 0 ? next : at;
      at = next;
      continue;
    }
    size_t end = next;
    while (end < text.size()) {
      const Utf8Char d = DecodeUtf8(text, end);
      if ((UnicodeFlags(d.code_point) & kMayChange) == 0) break;
      end += static_cast<size_t>(d.length);
    }
    out.append(text.substr(done, anchor - done));
    NormalizeStretch(text.substr(anchor, end - anchor), points, out);
    done = anchor = at = end;
  }
  out.append(text.substr(done));
}

}  // namespace

std::string_view ToNfc(std::string_view text, std::string& storage) {
  const Finding finding = Inspect(text);
  if (finding == Finding::kClean) return text;
  if (finding == Finding::kMayChange) {
    Normalize(text, storage);
    return storage;
  }
  const std::string valid = ReplaceInvalidUtf8(text);
  if (Inspect(valid) == Finding::kClean) {
    storage = valid;
  } else {
    Normalize(valid, storage);
  }
  return storage;
}

}  // namespace quern::tokenizer
