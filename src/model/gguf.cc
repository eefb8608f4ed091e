#include "model/gguf.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "model/safetensors.h"

namespace quern::model {
namespace {

static_assert(std::endian::native == std::endian::little, "weight files are read in place");

// What of an outside name goes into a message.
std::string_view Shown(std::string_view name) { return name.substr(0, 200); }

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Bytes of one element; 0 for strings, arrays and unknown types.
uint64_t FixedBytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

std::string_view TypeName(GgufType type) {
  static constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                "bool", "string", "array", "u64", "i64", "f64"};
  const auto at = static_cast<size_t>(type);
  return at < std::size(kNames) ? kNames[at] : "unknown";
}

bool IsInteger(GgufType type) {
  return FixedBytes(type) != 0 && type != GgufType::kF32 && type != GgufType::kF64 && type != GgufType::kBool;
}

struct TensorTypeRow {
  uint32_t id;
  std::string_view name;
  std::optional<DType> dtype;  // nullopt: known, not read
};

constexpr TensorTypeRow kTensorTypes[] = {
    {0, "F32", DType::kF32},       {1, "F16", DType::kF16},       {2, "Q4_0", DType::kQ4_0},
    {3, "Q4_1", DType::kQ4_1},     {6, "Q5_0", DType::kQ5_0},     {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},     {9, "Q8_1", std::nullopt},     {10, "Q2_K", DType::kQ2K},
    {11, "Q3_K", DType::kQ3K},     {12, "Q4_K", DType::kQ4K},     {13, "Q5_K", DType::kQ5K},
    {14, "Q6_K", DType::kQ6K},     {15, "Q8_K", std::nullopt},    {16, "IQ2_XXS", std::nullopt},
    {17, "IQ2_XS", std::nullopt},  {18, "IQ3_XXS", std::nullopt}, {19, "IQ1_S", std::nullopt},
    {20, "IQ4_NL", DType::kIQ4NL}, {21, "IQ3_S", std::nullopt},   {22, "IQ2_S", std::nullopt},
    {23, "IQ4_XS", DType::kIQ4XS}, {24, "I8", DType::kI8},        {25, "I16", DType::kI16},
    {26, "I32", DType::kI32},      {27, "I64", DType::kI64},      {28, "F64", DType::kF64},
    {29, "IQ1_M", std::nullopt},   {30, "BF16", DType::kBF16},    {34, "TQ1_0", std::nullopt},
    {35, "TQ2_0", std::nullopt},   {39, "MXFP4", DType::kMXFP4},  {40, "NVFP4", std::nullopt},
    {41, "Q1_0", std::nullopt},    {42, "Q2_0", std::nullopt},
};

int64_t LoadInteger(GgufType type, const std::byte* at, bool& fits) {
  fits = true;
  switch (type) {
    case GgufType::kU8:
      return Load<uint8_t>(at);
    case GgufType::kI8:
      return Load<int8_t>(at);
    case GgufType::kU16:
      return Load<uint16_t>(at);
    case GgufType::kI16:
      return Load<int16_t>(at);
    case GgufType::kU32:
      return Load<uint32_t>(at);
    case GgufType::kI32:
      return Load<int32_t>(at);
    case GgufType::kI64:
      return Load<int64_t>(at);
    case GgufType::kU64: {
      const uint64_t value = Load<uint64_t>(at);
      fits = value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
      return fits ? static_cast<int64_t>(value) : 0;
    }
    default:
      fits = false;
      return 0;
  }
}

}  // namespace

std::optional<uint32_t> GgufTypeId(DType type) {
  for (const TensorTypeRow& row : kTensorTypes) {
    if (row.dtype == type) return row.id;
  }
  return std::nullopt;
}

// Walks the header once. at_ never passes the end: every step asks for its bytes first.
class GgufParser {
 public:
  GgufParser(std::span<const std::byte> file, std::string_view file_name) : bytes_(file) {
    out_.file_name_ = file_name;
  }

  Result<GgufFile> Parse() {
    uint64_t n_tensors = 0;
    uint64_t n_keys = 0;
    QUERN_TRY(ReadHead(n_tensors, n_keys));
    for (uint64_t i = 0; i < n_keys; ++i) QUERN_TRY(ReadKeyValue(i));
    QUERN_TRY(SortKeys());
    uint64_t alignment = 32;
    QUERN_TRY(ReadAlignment(alignment));
    for (uint64_t i = 0; i < n_tensors; ++i) QUERN_TRY(ReadTensorInfo(i));
    QUERN_TRY(PlaceData(alignment));
    QUERN_TRY(SortNames());
    return std::move(out_);
  }

 private:
  std::unexpected<Status> Fail(Code code, std::string_view text) const {
    return Error(code, fmt::format("{}: {}", out_.file_name_, text));
  }

  Result<const std::byte*> Take(uint64_t n, std::string_view what) {
    if (n > bytes_.size() - at_) {
      return Fail(Code::kCorrupt, fmt::format("{} at offset {}: expected {} bytes, the file has {} more", what, at_, n,
                                              bytes_.size() - at_));
    }
    const std::byte* out = bytes_.data() + at_;
    at_ += n;
    return out;
  }

  template <typename T>
  Result<T> Read(std::string_view what) {
    QUERN_ASSIGN(const std::byte* const at, Take(sizeof(T), what));
    return Load<T>(at);
  }

  Result<std::string_view> ReadString(uint64_t max_bytes, std::string_view what) {
    QUERN_ASSIGN(const uint64_t n, Read<uint64_t>(what));
    if (n > max_bytes) {
      return Fail(Code::kExhausted,
                  fmt::format("{} at offset {}: {} bytes, more than the limit of {}", what, at_ - 8, n, max_bytes));
    }
    QUERN_ASSIGN(const std::byte* const at, Take(n, what));
    return std::string_view(reinterpret_cast<const char*>(at), n);
  }

  Result<void> ReadHead(uint64_t& n_tensors, uint64_t& n_keys) {
    QUERN_ASSIGN(const std::byte* const magic, Take(4, "magic"));
    if (std::memcmp(magic, "GGUF", 4) != 0) return Fail(Code::kCorrupt, "expected \"GGUF\" at offset 0");
    QUERN_ASSIGN(out_.version_, Read<uint32_t>("version"));
    if (out_.version_ == 0x03000000 || out_.version_ == 0x02000000) {
      return Fail(Code::kUnsupported, "a big-endian GGUF file");
    }
    if (out_.version_ != 2 && out_.version_ != 3) {
      return Fail(Code::kUnsupported, fmt::format("GGUF version {} at offset 4, expected 2 or 3", out_.version_));
    }
    QUERN_ASSIGN(n_tensors, Read<uint64_t>("tensor count"));
    QUERN_ASSIGN(n_keys, Read<uint64_t>("key count"));
    if (n_tensors > kMaxTensors) {
      return Fail(Code::kExhausted,
                  fmt::format("{} tensors at offset 8, more than the limit of {}", n_tensors, kMaxTensors));
    }
    if (n_keys > kMaxGgufKeys) {
      return Fail(Code::kExhausted,
                  fmt::format("{} keys at offset 16, more than the limit of {}", n_keys, kMaxGgufKeys));
    }
    return {};
  }

  Result<GgufType> ReadType(std::string_view key) {
    const uint64_t offset = at_;
    QUERN_ASSIGN(const uint32_t raw, Read<uint32_t>("value type"));
    if (raw > static_cast<uint32_t>(GgufType::kF64)) {
      return Fail(Code::kCorrupt,
                  fmt::format("key \"{}\": value type {} at offset {}, expected 0 to 12", Shown(key), raw, offset));
    }
    return static_cast<GgufType>(raw);
  }

  Result<void> ReadKeyValue(uint64_t index) {
    GgufFile::Value value{};
    QUERN_ASSIGN(value.key, ReadString(kMaxGgufKeyBytes, fmt::format("key {}", index)));
    QUERN_ASSIGN(value.type, ReadType(value.key));
    value.is_array = value.type == GgufType::kArray;
    value.count = 1;
    if (value.is_array) {
      QUERN_ASSIGN(value.type, ReadType(value.key));
      if (value.type == GgufType::kArray) {
        return Fail(Code::kUnsupported, fmt::format("key \"{}\": an array of arrays", Shown(value.key)));
      }
      QUERN_ASSIGN(value.count, Read<uint64_t>("array count"));
      if (value.count > kMaxGgufArrayCount) {
        return Fail(Code::kExhausted, fmt::format("key \"{}\": an array of {} elements, more than the limit of {}",
                                                  Shown(value.key), value.count, kMaxGgufArrayCount));
      }
    }
    value.payload = bytes_.data() + at_;
    const auto skipped = SkipPayload(value);
    if (!skipped.has_value()) {
      return Error(skipped.error().code(),
                   fmt::format("{} (value of key \"{}\")", skipped.error().message(), Shown(value.key)));
    }
    out_.values_.push_back(value);
    return {};
  }

  Result<void> SkipPayload(const GgufFile::Value& value) {
    if (value.type != GgufType::kString) {
      const uint64_t offset = at_;
      QUERN_ASSIGN(const std::byte* const first, Take(value.count * FixedBytes(value.type), "value"));
      if (value.type != GgufType::kBool) return {};
      for (uint64_t i = 0; i < value.count; ++i) {
        if (static_cast<uint8_t>(first[i]) > 1) {
          return Fail(Code::kCorrupt, fmt::format("boolean at offset {}: expected 0 or 1, got {}", offset + i,
                                                  static_cast<int>(first[i])));
        }
      }
      return {};
    }
    for (uint64_t i = 0; i < value.count; ++i) QUERN_TRY(ReadString(kMaxGgufStringBytes, "string"));
    return {};
  }

  Result<void> SortKeys() {
    std::sort(out_.values_.begin(), out_.values_.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    const auto twice = std::adjacent_find(out_.values_.begin(), out_.values_.end(),
                                          [](const auto& a, const auto& b) { return a.key == b.key; });
    if (twice == out_.values_.end()) return {};
    return Fail(Code::kCorrupt, fmt::format("key \"{}\" stands twice", Shown(twice->key)));
  }

  Result<void> ReadAlignment(uint64_t& alignment) {
    QUERN_ASSIGN(const auto given, out_.IntegerOrNone("general.alignment"));
    if (!given.has_value()) return {};
    if (*given < 1 || *given > kMaxGgufAlignment || !std::has_single_bit(static_cast<uint64_t>(*given))) {
      return Fail(Code::kCorrupt,
                  fmt::format("general.alignment is {}, expected a power of two up to {}", *given, kMaxGgufAlignment));
    }
    alignment = static_cast<uint64_t>(*given);
    return {};
  }

  Result<void> ReadTensorInfo(uint64_t index) {
    StoredTensor tensor;
    QUERN_ASSIGN(const std::string_view name, ReadString(kMaxTensorNameBytes, fmt::format("name of tensor {}", index)));
    tensor.name = name;
    const auto where = [&](std::string_view text) { return fmt::format("tensor \"{}\": {}", Shown(name), text); };
    QUERN_ASSIGN(const uint32_t n_dims, Read<uint32_t>(where("dim count")));
    if (n_dims > kMaxGgufDims) {
      return Fail(Code::kExhausted, where(fmt::format("{} dims, more than the limit of {}", n_dims, kMaxGgufDims)));
    }
    for (uint32_t i = 0; i < n_dims; ++i) {
      QUERN_ASSIGN(const int64_t dim, Read<int64_t>(where("dim")));
      tensor.shape.insert(tensor.shape.begin(), dim);  // the file's order is innermost first
    }
    QUERN_ASSIGN(const uint32_t type_id, Read<uint32_t>(where("type")));
    const auto row = std::find_if(std::begin(kTensorTypes), std::end(kTensorTypes),
                                  [&](const TensorTypeRow& candidate) { return candidate.id == type_id; });
    if (row == std::end(kTensorTypes)) {
      return Fail(Code::kUnsupported, where(fmt::format("type {} is not one that this build knows", type_id)));
    }
    if (!row->dtype.has_value())
      return Fail(Code::kUnsupported, where(fmt::format("type {} is not supported", row->name)));
    tensor.dtype = *row->dtype;
    QUERN_ASSIGN(const uint64_t offset, Read<uint64_t>(where("offset")));
    const auto n_bytes = TensorBytes(tensor.dtype, tensor.shape);
    if (!n_bytes.has_value()) return Fail(n_bytes.error().code(), where(n_bytes.error().message()));
    offsets_.push_back({offset, *n_bytes});
    out_.tensors_.push_back(std::move(tensor));
    return {};
  }

  // The data part begins at the next multiple of the alignment; each tensor at a multiple inside it, after the one
  // before.
  Result<void> PlaceData(uint64_t alignment) {
    if (out_.tensors_.empty()) return {};
    const uint64_t begin = (at_ + alignment - 1) / alignment * alignment;
    const uint64_t n_data = begin <= bytes_.size() ? bytes_.size() - begin : 0;
    std::vector<uint32_t> order(out_.tensors_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return std::pair(offsets_[a].begin, offsets_[a].n_bytes) < std::pair(offsets_[b].begin, offsets_[b].n_bytes);
    });
    uint64_t end_of_last = 0;
    for (const uint32_t index : order) {
      StoredTensor& tensor = out_.tensors_[index];
      const Range& range = offsets_[index];
      const auto fail = [&](std::string_view text) {
        return Fail(Code::kCorrupt, fmt::format("tensor \"{}\": {}", Shown(tensor.name), text));
      };
      if (range.begin % alignment != 0) {
        return fail(fmt::format("data offset {} is no multiple of the alignment {}", range.begin, alignment));
      }
      if (range.begin > n_data || range.n_bytes > n_data - range.begin) {
        return fail(fmt::format("{} {} takes {} bytes at data offset {}, the file has {} bytes of data",
                                Info(tensor.dtype).name, ShapeText(tensor.shape), range.n_bytes, range.begin, n_data));
      }
      if (range.begin < end_of_last) {
        return fail(
            fmt::format("data offset {} lies inside another tensor, which ends at {}", range.begin, end_of_last));
      }
      end_of_last = range.begin + range.n_bytes;
      tensor.bytes =
          range.n_bytes == 0 ? std::span<const std::byte>() : bytes_.subspan(begin + range.begin, range.n_bytes);
    }
    return {};
  }

  Result<void> SortNames() {
    out_.by_name_.resize(out_.tensors_.size());
    std::iota(out_.by_name_.begin(), out_.by_name_.end(), 0U);
    const auto& tensors = out_.tensors_;
    std::sort(out_.by_name_.begin(), out_.by_name_.end(),
              [&](uint32_t a, uint32_t b) { return tensors[a].name < tensors[b].name; });
    const auto twice = std::adjacent_find(out_.by_name_.begin(), out_.by_name_.end(),
                                          [&](uint32_t a, uint32_t b) { return tensors[a].name == tensors[b].name; });
    if (twice == out_.by_name_.end()) return {};
    return Fail(Code::kCorrupt, fmt::format("tensor \"{}\" stands twice", Shown(tensors[*twice].name)));
  }

  struct Range {
    uint64_t begin, n_bytes;  // in the data part
  };

  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;             // <= bytes_.size()
  std::vector<Range> offsets_;  // beside out_.tensors_
  GgufFile out_;
};

Result<GgufFile> GgufFile::Parse(std::span<const std::byte> file, std::string_view file_name) {
  return GgufParser(file, file_name).Parse();
}

const StoredTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](uint32_t index, std::string_view key) { return tensors_[index].name < key; });
  return at != by_name_.end() && tensors_[*at].name == name ? &tensors_[*at] : nullptr;
}

std::vector<std::string_view> GgufFile::Keys() const {
  std::vector<std::string_view> out;
  out.reserve(values_.size());
  for (const Value& value : values_) out.push_back(value.key);
  return out;
}

const GgufFile::Value* GgufFile::FindValue(std::string_view key) const {
  const auto at = std::lower_bound(values_.begin(), values_.end(), key,
                                   [](const Value& value, std::string_view k) { return value.key < k; });
  return at != values_.end() && at->key == key ? &*at : nullptr;
}

Status GgufFile::Wrong(const Value& value, std::string_view expected) const {
  return Status(Code::kCorrupt, fmt::format("{}: key \"{}\": expected {}, got {}{}", file_name_, Shown(value.key),
                                            expected, value.is_array ? "an array of " : "", TypeName(value.type)));
}

Result<const GgufFile::Value*> GgufFile::Require(std::string_view key, bool is_array, std::string_view expected) const {
  const Value* value = FindValue(key);
  if (value == nullptr) {
    return Error(Code::kCorrupt,
                 fmt::format("{}: key \"{}\" is missing: expected {}", file_name_, Shown(key), expected));
  }
  if (value->is_array != is_array) return std::unexpected(Wrong(*value, expected));
  return value;
}

Result<std::string_view> GgufFile::String(std::string_view key) const {
  QUERN_ASSIGN(const Value* const value, Require(key, false, "a string"));
  if (value->type != GgufType::kString) return std::unexpected(Wrong(*value, "a string"));
  return std::string_view(reinterpret_cast<const char*>(value->payload) + 8, Load<uint64_t>(value->payload));
}

Result<int64_t> GgufFile::Integer(std::string_view key) const {
  QUERN_ASSIGN(const Value* const value, Require(key, false, "an integer"));
  bool fits = false;
  const int64_t out = LoadInteger(value->type, value->payload, fits);
  if (!fits) return std::unexpected(Wrong(*value, "an integer below 2^63"));
  return out;
}

Result<double> GgufFile::Number(std::string_view key) const {
  QUERN_ASSIGN(const Value* const value, Require(key, false, "a finite number"));
  double out = std::numeric_limits<double>::quiet_NaN();
  if (value->type == GgufType::kF32) {
    out = Load<float>(value->payload);
  } else if (value->type == GgufType::kF64) {
    out = Load<double>(value->payload);
  } else if (IsInteger(value->type)) {
    QUERN_ASSIGN(const int64_t integer, Integer(key));
    out = static_cast<double>(integer);
  }
  if (!std::isfinite(out)) return std::unexpected(Wrong(*value, "a finite number"));
  return out;
}

Result<bool> GgufFile::Bool(std::string_view key) const {
  QUERN_ASSIGN(const Value* const value, Require(key, false, "a boolean"));
  if (value->type != GgufType::kBool) return std::unexpected(Wrong(*value, "a boolean"));
  return static_cast<uint8_t>(*value->payload) != 0;
}

Result<std::optional<std::string_view>> GgufFile::StringOrNone(std::string_view key) const {
  if (!Has(key)) return std::nullopt;
  return String(key);
}

Result<std::optional<int64_t>> GgufFile::IntegerOrNone(std::string_view key) const {
  if (!Has(key)) return std::nullopt;
  return Integer(key);
}

Result<std::optional<double>> GgufFile::NumberOrNone(std::string_view key) const {
  if (!Has(key)) return std::nullopt;
  return Number(key);
}

Result<std::optional<bool>> GgufFile::BoolOrNone(std::string_view key) const {
  if (!Has(key)) return std::nullopt;
  QUERN_ASSIGN(const bool value, Bool(key));
  return std::optional<bool>(value);
}

Result<std::vector<std::string_view>> GgufFile::Strings(std::string_view key) const {
  QUERN_ASSIGN(const Value* const value, Require(key, true, "an array of strings"));
  if (value->type != GgufType::kString) return std::unexpected(Wrong(*value, "an array of strings"));
  std::vector<std::string_view> out;
  out.reserve(value->count);  // each took at least 8 bytes of the file: bounded by its size
  const std::byte* at = value->payload;
  for (uint64_t i = 0; i < value->count; ++i) {
    const uint64_t n = Load<uint64_t>(at);
    out.emplace_back(reinterpret_cast<const char*>(at) + 8, n);
    at += 8 + n;
  }
  return out;
}

Result<std::vector<int64_t>> GgufFile::Integers(std::string_view key) const {
  const Value* value = FindValue(key);
  if (value == nullptr) {
    return Error(Code::kCorrupt, fmt::format("{}: key \"{}\" is missing: expected integers", file_name_, Shown(key)));
  }
  if (!IsInteger(value->type)) return std::unexpected(Wrong(*value, "integers"));
  std::vector<int64_t> out;
  out.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    bool fits = false;
    out.push_back(LoadInteger(value->type, value->payload + i * FixedBytes(value->type), fits));
    if (!fits) return std::unexpected(Wrong(*value, "integers below 2^63"));
  }
  return out;
}

Result<std::vector<bool>> GgufFile::Flags(std::string_view key) const {
  const Value* value = FindValue(key);
  std::vector<bool> out;
  if (value != nullptr && value->type == GgufType::kBool) {
    for (uint64_t i = 0; i < value->count; ++i) out.push_back(Load<uint8_t>(value->payload + i) != 0);
    return out;
  }
  QUERN_ASSIGN(const std::vector<int64_t> numbers, Integers(key));
  for (const int64_t number : numbers) {
    if (number != 0 && number != 1) return std::unexpected(Wrong(*value, "bools, or integers of 0 and 1"));
    out.push_back(number == 1);
  }
  return out;
}

std::vector<std::byte> GgufFile::EncodedValue(std::string_view key) const {
  const Value* value = FindValue(key);
  if (value == nullptr) return {};
  const std::byte* end = value->payload;
  for (uint64_t i = 0; value->type == GgufType::kString && i < value->count; ++i) end += 8 + Load<uint64_t>(end);
  if (value->type != GgufType::kString) end += value->count * FixedBytes(value->type);

  std::vector<std::byte> out;
  const auto put = [&](auto number) {
    const auto* at = reinterpret_cast<const std::byte*>(&number);
    out.insert(out.end(), at, at + sizeof(number));
  };
  if (value->is_array) put(static_cast<uint32_t>(GgufType::kArray));
  put(static_cast<uint32_t>(value->type));
  if (value->is_array) put(value->count);
  out.insert(out.end(), value->payload, end);
  return out;
}

}  // namespace quern::model
