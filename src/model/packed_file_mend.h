// For tests and fuzzing: damaged packed files that get past their checksums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/checksum.h"

namespace quern::model {

// Makes the trailer (docs/formats/packed.md) agree with the bytes before it: the index ends where the trailer begins,
// and size and checksums are those of what is there. The index's offset stays when it lies inside the file, the number
// of entries in any case. Nothing happens to fewer bytes than two edges.
inline void MendPackedFile(std::span<std::byte> file) {
  constexpr size_t kTrailer = 64;
  if (file.size() < 2 * kTrailer) return;
  std::byte* trailer = file.data() + file.size() - kTrailer;
  uint64_t fields[5];
  std::memcpy(fields, trailer, sizeof(fields));
  const uint64_t room = file.size() - kTrailer;
  if (fields[0] > room) fields[0] %= room;
  fields[1] = room - fields[0];
  fields[3] = ChecksumOf(file.subspan(fields[0], fields[1]));
  fields[4] = file.size();
  std::memcpy(trailer, fields, sizeof(fields));
  const uint64_t sum = ChecksumOf(std::span<const std::byte>(trailer, sizeof(fields)));
  std::memcpy(trailer + sizeof(fields), &sum, sizeof(sum));
}

}  // namespace quern::model
