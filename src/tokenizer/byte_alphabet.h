// GPT-2's printable stand-in for each byte: vocabulary files spell tokens with it. Bytes 33-126, 161-172 and 174-255
// stand for themselves, the other 68 are U+0100..U+0143 in order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quern::tokenizer {

// Code point that stands for the byte.
int32_t ByteToStandIn(uint8_t byte);

// The bytes that a token's spelling stands for; nothing when a character of it stands for no byte.
std::optional<std::string> BytesOfSpelling(std::string_view spelling);

// The other way round; used to make vocabularies in tests.
std::string SpellingOfBytes(std::string_view bytes);

}  // namespace quern::tokenizer
