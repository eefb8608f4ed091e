#include "model/gguf_writer.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace quern::model {
namespace {

constexpr uint64_t kAlignment = 32;
constexpr uint32_t kVersion = 3;

void PutBytes(std::vector<std::byte>& out, const void* from, size_t n) {
  if (n == 0) return;
  const size_t at = out.size();
  out.resize(at + n);
  std::memcpy(out.data() + at, from, n);
}

template <typename T>
void Put(std::vector<std::byte>& out, T value) {
  PutBytes(out, &value, sizeof(value));
}

void PutType(std::vector<std::byte>& out, GgufType type) { Put(out, static_cast<uint32_t>(type)); }

void PutString(std::vector<std::byte>& out, std::string_view text) {
  Put(out, uint64_t{text.size()});
  PutBytes(out, text.data(), text.size());
}

template <typename T>
void PutArray(std::vector<std::byte>& out, GgufType type, std::span<const T> values) {
  PutType(out, GgufType::kArray);
  PutType(out, type);
  Put(out, uint64_t{values.size()});
  for (const T value : values) Put(out, value);
}

uint64_t Aligned(uint64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

GgufMetadata::Bytes& GgufMetadata::Value(std::string_view key) {
  QUERN_CHECK(!key.empty() && key.size() <= kMaxGgufKeyBytes);
  const auto at = std::ranges::find(entries_, key, &std::pair<std::string, Bytes>::first);
  if (at == entries_.end()) return entries_.emplace_back(key, Bytes()).second;
  at->second.clear();
  return at->second;
}

void GgufMetadata::Set(std::string_view key, std::string_view value) {
  Bytes& out = Value(key);
  PutType(out, GgufType::kString);
  PutString(out, value);
}

void GgufMetadata::Set(std::string_view key, bool value) {
  Bytes& out = Value(key);
  PutType(out, GgufType::kBool);
  Put(out, static_cast<uint8_t>(value));
}

void GgufMetadata::Set(std::string_view key, uint32_t value) {
  Bytes& out = Value(key);
  PutType(out, GgufType::kU32);
  Put(out, value);
}

void GgufMetadata::Set(std::string_view key, int32_t value) {
  Bytes& out = Value(key);
  PutType(out, GgufType::kI32);
  Put(out, value);
}

void GgufMetadata::Set(std::string_view key, float value) {
  Bytes& out = Value(key);
  PutType(out, GgufType::kF32);
  Put(out, value);
}

void GgufMetadata::Set(std::string_view key, std::span<const std::string_view> values) {
  Bytes& out = Value(key);
  PutType(out, GgufType::kArray);
  PutType(out, GgufType::kString);
  Put(out, uint64_t{values.size()});
  for (const std::string_view value : values) PutString(out, value);
}

void GgufMetadata::Set(std::string_view key, std::span<const int32_t> values) {
  PutArray(Value(key), GgufType::kI32, values);
}

void GgufMetadata::Set(std::string_view key, std::span<const float> values) {
  PutArray(Value(key), GgufType::kF32, values);
}

void GgufMetadata::Copy(const GgufFile& from, std::string_view key) { Value(key) = from.EncodedValue(key); }

size_t GgufTensorInfo::n_bytes() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return static_cast<size_t>(rows) * RowBytes(dtype, shape.empty() ? 1 : shape.back());
}

bool IsGgufType(DType type) { return GgufTypeId(type).has_value(); }

GgufWriter::GgufWriter(std::unique_ptr<os::OutputFile> file, std::vector<GgufTensorInfo> tensors)
    : file_(std::move(file)), tensors_(std::move(tensors)) {}

Result<std::unique_ptr<GgufWriter>> GgufWriter::Create(const std::filesystem::path& path, const GgufMetadata& metadata,
                                                       std::vector<GgufTensorInfo> tensors) {
  QUERN_ASSIGN(auto file, os::OutputFile::Create(path));
  std::unique_ptr<GgufWriter> writer(new GgufWriter(std::move(file), std::move(tensors)));
  QUERN_TRY(writer->WriteHeader(metadata));
  writer->SkipEmptyTensors();
  return writer;
}

Result<void> GgufWriter::WriteHeader(const GgufMetadata& metadata) {
  std::vector<std::byte> head;
  PutBytes(head, "GGUF", 4);
  Put(head, kVersion);
  Put(head, uint64_t{tensors_.size()});
  Put(head, uint64_t{metadata.entries_.size()});
  for (const auto& [key, value] : metadata.entries_) {
    PutString(head, key);
    PutBytes(head, value.data(), value.size());
  }
  uint64_t offset = 0;
  for (const GgufTensorInfo& tensor : tensors_) {
    const auto id = GgufTypeId(tensor.dtype);
    QUERN_CHECK(id.has_value() && tensor.shape.size() <= kMaxGgufDims);
    PutString(head, tensor.name);
    Put(head, static_cast<uint32_t>(tensor.shape.size()));
    for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim) Put(head, *dim);
    Put(head, *id);
    Put(head, offset);
    offset = Aligned(offset + tensor.n_bytes());
  }
  QUERN_TRY(file_->Write(head));
  return Pad();
}

Result<void> GgufWriter::Pad() {
  constexpr std::byte kZeros[kAlignment] = {};
  return file_->Write(std::span(kZeros).first(Aligned(file_->n_bytes()) - file_->n_bytes()));
}

void GgufWriter::SkipEmptyTensors() {
  while (tensor_ < tensors_.size() && tensors_[tensor_].n_bytes() == 0) ++tensor_;
}

Result<void> GgufWriter::Append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  QUERN_CHECK(tensor_ < tensors_.size() && bytes.size() <= tensors_[tensor_].n_bytes() - n_written_);
  QUERN_TRY(file_->Write(bytes));
  n_written_ += bytes.size();
  if (n_written_ < tensors_[tensor_].n_bytes()) return {};
  n_written_ = 0;
  ++tensor_;
  SkipEmptyTensors();
  return Pad();
}

Result<void> GgufWriter::Finish() {
  QUERN_CHECK(tensor_ == tensors_.size() && n_written_ == 0);
  return file_->Commit();
}

}  // namespace quern::model
