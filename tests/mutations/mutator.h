// Damage as files really get it and as somebody would make it on purpose. Seeded: the same number gives the same file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace quern::mutations {

enum class Kind {
  kBinary,       // lengths, counts and offsets are little-endian numbers in the first header_bytes
  kJson,         // text
  kSafetensors,  // eight bytes of length, that many bytes of JSON, data
  kPacked,       // docs/formats/packed.md; most copies get checksums that are right again
};

// A changed copy of seed, never equal to it. Cut short, bits flipped, bytes inserted, deleted or taken from elsewhere,
// numbers replaced by hostile ones (0, -1, 2^31, 2^63, the file's size, ...). Most changes hit the first header_bytes,
// where they do most harm.
std::string Mutate(const std::string& seed, Kind kind, size_t header_bytes, std::mt19937_64& random);

}  // namespace quern::mutations
