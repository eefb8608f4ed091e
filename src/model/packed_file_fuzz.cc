// Fuzz target: any bytes as a packed file, as they are and with their checksums put right, so that what lies behind the
// checksums is reached too. What parses must lie inside the bytes, apart from each other.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/checksum.h"
#include "model/packed_file.h"

namespace {

void Check(std::span<const std::byte> file) {
  const auto index = quern::model::ParsePackedIndex(file);
  if (!index.has_value()) return;
  uint64_t n_bytes = 0;
  for (const auto& entry : index->entries) {
    if (entry.offset > file.size() || entry.n_bytes > file.size() - entry.offset) std::abort();
    if (entry.rows < 1 || entry.cols < 1 || index->Find(entry.name) != &entry) std::abort();
    n_bytes += entry.n_bytes;
  }
  if (n_bytes > file.size()) std::abort();  // no byte belongs to two matrices
}

// Fields of the trailer, see docs/formats/packed.md.
void PutChecksumsRight(std::vector<std::byte>& file) {
  constexpr size_t kTrailer = 64;
  if (file.size() < 2 * kTrailer) return;
  std::byte* trailer = file.data() + file.size() - kTrailer;
  uint64_t fields[5];
  std::memcpy(fields, trailer, sizeof(fields));
  const uint64_t room = file.size() - kTrailer;
  if (fields[0] > room) fields[0] %= room;
  fields[1] = room - fields[0];
  fields[3] = quern::ChecksumOf(std::span<const std::byte>(file).subspan(fields[0], fields[1]));
  fields[4] = file.size();
  std::memcpy(trailer, fields, sizeof(fields));
  const uint64_t sum = quern::ChecksumOf(std::span<const std::byte>(trailer, sizeof(fields)));
  std::memcpy(trailer + sizeof(fields), &sum, sizeof(sum));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  Check({bytes, size});
  std::vector<std::byte> mended(bytes, bytes + size);
  PutChecksumsRight(mended);
  Check(mended);
  return 0;
}
