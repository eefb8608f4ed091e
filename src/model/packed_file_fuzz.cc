// Fuzz target: any bytes as a packed file, as they are and with their checksums put right, so that what lies behind the
// checksums is reached too. What parses must lie inside the bytes, apart from each other.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "model/packed_file.h"
#include "model/packed_file_mend.h"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  Check({bytes, size});
  std::vector<std::byte> mended(bytes, bytes + size);
  quern::model::MendPackedFile(mended);
  Check(mended);
  return 0;
}
