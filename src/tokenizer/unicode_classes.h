// What the pre-tokeniser and the NFC check need to know of a code point. Generated data, no locale, no library.
#pragma once

#include <array>
#include <cstdint>

namespace quern::tokenizer {

enum class CharClass : uint8_t {
  kOther,    // punctuation, symbols, marks, unassigned
  kLetter,   // \p{L}
  kNumber,   // \p{N}
  kBlank,    // \s without CR and LF
  kNewline,  // CR, LF
};

// The low three bits are the CharClass.
inline constexpr uint8_t kClassMask = 0x07;
// NFC may rewrite the character, move it, or join it with the one before. Never set for ASCII.
inline constexpr uint8_t kMayChange = 0x08;
// Newer than the Unicode version of the reference's normaliser, where it neither moves nor joins: NFC must stop at it.
inline constexpr uint8_t kInert = 0x10;

// Flags of a code point in 0..0x10FFFF.
uint8_t UnicodeFlags(int32_t code_point);

// CharClass of each ASCII byte; 0xFF for bytes from 0x80 on.
inline constexpr uint8_t kNotAscii = 0xFF;
extern const std::array<uint8_t, 256> kByteClass;

}  // namespace quern::tokenizer
