#include "tokenizer/byte_alphabet.h"

#include "base/utf8.h"

namespace quern::tokenizer {
namespace {

constexpr int32_t kFirstStandIn = 0x100;
constexpr int32_t kEndStandIn = 0x144;

constexpr bool StandsForItself(int32_t byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
}

struct Alphabet {
  std::array<int32_t, 256> of_byte{};
  std::array<int16_t, kEndStandIn> of_char{};

  constexpr Alphabet() {
    of_char.fill(-1);
    int32_t next = kFirstStandIn;
    for (int32_t b = 0; b < 256; ++b) {
      const int32_t c = StandsForItself(b) ? b : next++;
      of_byte[static_cast<size_t>(b)] = c;
      of_char[static_cast<size_t>(c)] = static_cast<int16_t>(b);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

int32_t ByteToStandIn(uint8_t byte) { return kAlphabet.of_byte[byte]; }

std::optional<std::string> BytesOfSpelling(std::string_view spelling) {
  std::string out;
  out.reserve(spelling.size());
  for (size_t at = 0; at < spelling.size();) {
    const Utf8Char c = DecodeUtf8(spelling, at);
    if (c.code_point < 0 || c.code_point >= kEndStandIn) return std::nullopt;
    const int16_t byte = kAlphabet.of_char[static_cast<size_t>(c.code_point)];
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
    at += static_cast<size_t>(c.length);
  }
  return out;
}

std::string SpellingOfBytes(std::string_view bytes) {
  std::string out;
  for (const char b : bytes) AppendUtf8(out, ByteToStandIn(static_cast<uint8_t>(b)));
  return out;
}

}  // namespace quern::tokenizer
