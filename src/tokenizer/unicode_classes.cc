#include "tokenizer/unicode_classes.h"

#include <array>

namespace quern::tokenizer {
namespace {

#include "tokenizer/unicode_tables.inc"

constexpr std::array<uint8_t, 256> MakeByteClass() {
  std::array<uint8_t, 256> out{};
  for (unsigned b = 0; b < 256; ++b) out[b] = b < 0x80 ? kBlocks[kBlockIndex[0]][b] & kClassMask : kNotAscii;
  return out;
}

}  // namespace

uint8_t UnicodeFlags(int32_t code_point) {
  const auto c = static_cast<uint32_t>(code_point);
  return kBlocks[kBlockIndex[c >> 7]][c & 0x7F];
}

constinit const std::array<uint8_t, 256> kByteClass = MakeByteClass();

}  // namespace quern::tokenizer
