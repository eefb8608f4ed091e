#include "model/packed_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "base/checksum.h"
#include "base/os/output_file.h"
#include "kernels/packing.h"
#include "model/architecture.h"
#include "model/weights.h"

namespace quern::model {
namespace {

constexpr std::string_view kMagic = "QUERNPAK";
constexpr std::string_view kEnd = "QUERNEND";
constexpr uint32_t kVersion = 2;  // of all but the matrices; 1 had another checksum. Raise it as kPackingVersion.
constexpr uint32_t kLayout = kernels::kPackingVersion;
constexpr size_t kEdgeBytes = 64;  // header and trailer
constexpr size_t kAlignment = 64;
constexpr uint64_t kMaxEntries = 524288;
constexpr uint32_t kMaxNameBytes = 512;
constexpr uint64_t kMaxSide = uint64_t{1} << 31U;
constexpr size_t kSampleBytes = 64;  // of each tensor, at its begin, middle and end

// Appends little-endian numbers and texts.
class Bytes {
 public:
  template <typename T>
  void Number(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) data_.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
  void Raw(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    data_.insert(data_.end(), bytes.begin(), bytes.end());
  }
  void Text(std::string_view text) {
    Number(static_cast<uint32_t>(text.size()));
    Raw(text);
  }
  void FillTo(size_t n) { data_.resize(n); }
  const std::vector<std::byte>& data() const { return data_; }

 private:
  std::vector<std::byte> data_;
};

// Reads them back; every read checks what is left.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  std::optional<T> Number() {
    if (bytes_.size() < sizeof(T)) return std::nullopt;
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<T>(bytes_[i]) << (8 * i));
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  std::optional<std::string> Text(uint32_t most) {
    const auto n = Number<uint32_t>();
    if (!n.has_value() || *n > most || *n > bytes_.size()) return std::nullopt;
    std::string text(reinterpret_cast<const char*>(bytes_.data()), *n);
    bytes_ = bytes_.subspan(*n);
    return text;
  }
  bool done() const { return bytes_.empty(); }

 private:
  std::span<const std::byte> bytes_;
};

std::optional<DType> TypeOfName(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
    if (Info(static_cast<DType>(i)).name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

bool StartsWith(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

std::unexpected<Status> Damaged(std::string_view what) {
  return Error(Code::kCorrupt, fmt::format("a damaged packed file: {}", what));
}

struct Trailer {
  uint64_t index_offset = 0, index_bytes = 0, n_entries = 0, index_checksum = 0;
};

std::vector<std::byte> WriteTrailer(const Trailer& trailer, uint64_t file_bytes) {
  Bytes out;
  for (const uint64_t value :
       {trailer.index_offset, trailer.index_bytes, trailer.n_entries, trailer.index_checksum, file_bytes}) {
    out.Number(value);
  }
  out.Number(ChecksumOf(out.data()));
  out.FillTo(kEdgeBytes - kEnd.size());
  out.Raw(kEnd);
  return out.data();
}

Result<Trailer> ReadTrailer(std::span<const std::byte> file) {
  const auto bytes = file.last(kEdgeBytes);
  if (!StartsWith(bytes.last(kEnd.size()), kEnd)) return Damaged("its end is missing");
  std::array<uint64_t, 6> values{};
  Reader reader(bytes);
  for (uint64_t& value : values) value = *reader.Number<uint64_t>();
  if (values[5] != ChecksumOf(bytes.first(5 * sizeof(uint64_t)))) return Damaged("the trailer's checksum is wrong");
  if (values[4] != file.size())
    return Damaged(fmt::format("it was written with {} bytes and has {}", values[4], file.size()));
  const Trailer trailer{values[0], values[1], values[2], values[3]};
  if (trailer.index_offset < kEdgeBytes || trailer.index_offset > file.size() - kEdgeBytes ||
      trailer.index_bytes != file.size() - kEdgeBytes - trailer.index_offset)
    return Damaged(fmt::format("an index of {} bytes at {}", trailer.index_bytes, trailer.index_offset));
  if (trailer.n_entries > kMaxEntries)
    return Error(Code::kExhausted, fmt::format("{} matrices, the limit is {}", trailer.n_entries, kMaxEntries));
  return trailer;
}

Result<PackedEntry> ReadEntry(Reader& reader) {
  PackedEntry entry;
  auto name = reader.Text(kMaxNameBytes);
  const auto type_name = reader.Text(kMaxNameBytes);
  const auto rows = reader.Number<uint64_t>(), cols = reader.Number<uint64_t>(), offset = reader.Number<uint64_t>();
  const auto n_bytes = reader.Number<uint64_t>(), checksum = reader.Number<uint64_t>();
  if (!name || !type_name || !checksum) return Damaged("the index is cut short");
  const auto type = TypeOfName(*type_name);
  if (!type || *rows < 1 || *rows > kMaxSide || *cols < 1 || *cols > kMaxSide)
    return Damaged(fmt::format("matrix \"{}\" of {} x {}, type \"{}\"", *name, *rows, *cols, *type_name));
  entry.name = std::move(*name);
  entry.type = *type;
  entry.rows = static_cast<int64_t>(*rows);
  entry.cols = static_cast<int64_t>(*cols);
  entry.offset = *offset;
  entry.n_bytes = *n_bytes;
  entry.checksum = *checksum;
  return entry;
}

std::span<const std::byte> Sample(std::span<const std::byte> bytes, size_t at) {
  return bytes.subspan(at, std::min(kSampleBytes, bytes.size() - at));
}

// Takes the matrices as they are made, writes each and remembers where.
class PackedWriter final : public MatrixSink {
 public:
  explicit PackedWriter(os::OutputFile& file) : file_(file) {}

  Result<void> Begin(uint64_t fingerprint) {
    Bytes head;
    head.Raw(kMagic);
    head.Number(kVersion);
    head.Number(kLayout);
    head.Number(fingerprint);
    head.FillTo(kEdgeBytes);
    return file_.Write(head.data());
  }

  Result<void> Take(std::string_view name, const kernels::Matrix& matrix) override {
    const auto bytes = matrix.packed();
    index_.Text(name);
    index_.Text(Info(matrix.stored_type()).name);
    for (const uint64_t value : {static_cast<uint64_t>(matrix.rows()), static_cast<uint64_t>(matrix.cols()),
                                 file_.n_bytes(), uint64_t{bytes.size()}, ChecksumOf(bytes)}) {
      index_.Number(value);
    }
    ++n_entries_;
    QUERN_TRY(file_.Write(bytes));
    return Align();
  }

  Result<void> End() {
    const Trailer trailer{file_.n_bytes(), index_.data().size(), n_entries_, ChecksumOf(index_.data())};
    QUERN_TRY(file_.Write(index_.data()));
    return file_.Write(WriteTrailer(trailer, file_.n_bytes() + kEdgeBytes));
  }

 private:
  Result<void> Align() {
    const std::array<std::byte, kAlignment> zeros{};
    return file_.Write(std::span(zeros).first((kAlignment - file_.n_bytes() % kAlignment) % kAlignment));
  }

  os::OutputFile& file_;
  Bytes index_;
  uint64_t n_entries_ = 0;
};

}  // namespace

const PackedEntry* PackedIndex::Find(std::string_view name) const {
  const auto at =
      std::ranges::lower_bound(entries, name, {}, [](const PackedEntry& e) { return std::string_view(e.name); });
  return at != entries.end() && at->name == name ? &*at : nullptr;
}

Result<PackedIndex> ParsePackedIndex(std::span<const std::byte> file) {
  if (!StartsWith(file, kMagic)) return Error(Code::kCorrupt, "not a packed file: it does not begin with QUERNPAK");
  if (file.size() < 2 * kEdgeBytes) return Damaged(fmt::format("{} bytes", file.size()));
  Reader head(file.subspan(kMagic.size(), kEdgeBytes - kMagic.size()));
  const uint32_t version = *head.Number<uint32_t>(), layout = *head.Number<uint32_t>();
  if (version != kVersion || layout != kLayout)
    return Error(Code::kUnsupported,
                 fmt::format("written by another version of quern (packed format {}, layout {}; this one reads format "
                             "{}, layout {}): pack the checkpoint again with quern pack",
                             version, layout, kVersion, kLayout));
  PackedIndex index;
  index.fingerprint = *head.Number<uint64_t>();
  QUERN_ASSIGN(const Trailer trailer, ReadTrailer(file));
  const auto bytes = file.subspan(trailer.index_offset, trailer.index_bytes);
  if (ChecksumOf(bytes) != trailer.index_checksum) return Damaged("the index's checksum is wrong");
  Reader reader(bytes);
  uint64_t end = kEdgeBytes;
  for (uint64_t i = 0; i < trailer.n_entries; ++i) {
    QUERN_ASSIGN(PackedEntry entry, ReadEntry(reader));
    if (entry.offset < end || entry.offset % kAlignment != 0 || entry.offset > trailer.index_offset ||
        entry.n_bytes > trailer.index_offset - entry.offset)
      return Damaged(fmt::format("matrix \"{}\": {} bytes at {}", entry.name, entry.n_bytes, entry.offset));
    end = entry.offset + entry.n_bytes;
    index.entries.push_back(std::move(entry));
  }
  if (!reader.done()) return Damaged("the index is longer than its entries");
  std::ranges::sort(index.entries, {}, &PackedEntry::name);
  const auto twice = std::ranges::adjacent_find(index.entries, {}, &PackedEntry::name);
  if (twice != index.entries.end()) return Damaged(fmt::format("matrix \"{}\" stands there twice", twice->name));
  return index;
}

Result<std::shared_ptr<const PackedFile>> PackedFile::Open(const std::filesystem::path& path,
                                                           const Checkpoint& checkpoint) {
  QUERN_ASSIGN(auto file, os::MappedFile::Open(path));
  auto index = ParsePackedIndex(file->bytes());
  if (!index) return std::unexpected(index.error().WithContext(path.string()));
  if (index->fingerprint != FingerprintOf(checkpoint))
    return Error(Code::kInvalidArgument, fmt::format("{} was packed from another checkpoint than {}", path.string(),
                                                     checkpoint.path().string()));
  return std::shared_ptr<const PackedFile>(new PackedFile(std::move(file), std::move(*index)));
}

kernels::Matrix PackedFile::MatrixOf(std::string_view name, DType type, int64_t rows, int64_t cols) const {
  const PackedEntry* entry = index_.Find(name);
  if (entry == nullptr || entry->type != type || entry->rows != rows || entry->cols != cols) return {};
  auto matrix = kernels::Matrix::FromPacked(type, rows, cols, file_->bytes().subspan(entry->offset, entry->n_bytes),
                                            shared_from_this());
  return matrix ? std::move(*matrix) : kernels::Matrix();
}

Result<void> PackedFile::CheckData(const ProgressFn& progress) const {
  uint64_t done = 0;
  for (const PackedEntry& entry : index_.entries) {
    if (progress) progress(done, n_bytes());
    if (ChecksumOf(file_->bytes().subspan(entry.offset, entry.n_bytes)) != entry.checksum)
      return Error(Code::kCorrupt,
                   fmt::format("{}: matrix \"{}\" is damaged: its checksum is wrong", path().string(), entry.name));
    done += entry.n_bytes;
  }
  return {};
}

uint64_t FingerprintOf(const Checkpoint& checkpoint) {
  Checksum sum;
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    Bytes head;
    head.Text(tensor.name);
    head.Text(Info(tensor.dtype).name);
    for (const int64_t dim : tensor.shape) head.Number(static_cast<uint64_t>(dim));
    sum.Add(head.data());
    const size_t n = tensor.bytes.size();
    for (const size_t at : {size_t{0}, n / 2, n - std::min(n, kSampleBytes)}) sum.Add(Sample(tensor.bytes, at));
  }
  return sum.Value();
}

std::filesystem::path PackedPathOf(const std::filesystem::path& checkpoint) {
  std::error_code ec;
  if (std::filesystem::is_directory(checkpoint, ec)) return checkpoint / "weights.packed";
  return checkpoint.string() + ".packed";
}

Result<void> WritePackedFile(const Checkpoint& checkpoint, const std::filesystem::path& path,
                             const ProgressFn& progress) {
  QUERN_ASSIGN(const auto file, os::OutputFile::Create(path));
  PackedWriter writer(*file);
  QUERN_TRY(writer.Begin(FingerprintOf(checkpoint)));
  QUERN_TRY(PackWeights(checkpoint, writer, progress));
  QUERN_TRY(writer.End());
  return file->Commit();
}

}  // namespace quern::model
