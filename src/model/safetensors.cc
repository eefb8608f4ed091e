#include "model/safetensors.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <boost/json.hpp>
#include <cstring>
#include <optional>
#include <utility>

#include "base/json.h"

namespace quern::model {
namespace {

namespace json = boost::json;

static_assert(std::endian::native == std::endian::little, "weight files are read in place");

std::string_view View(const json::string& text) { return {text.data(), text.size()}; }

// What of an outside name goes into a message.
std::string_view Shown(std::string_view name) { return name.substr(0, 200); }

std::optional<DType> DTypeOf(std::string_view name) {
  static constexpr std::pair<std::string_view, DType> kNames[] = {
      {"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"F8_E4M3", DType::kF8E4M3},
      {"F64", DType::kF64}, {"I8", DType::kI8},   {"I16", DType::kI16},   {"I32", DType::kI32},
      {"I64", DType::kI64}, {"U8", DType::kU8},   {"BOOL", DType::kBool},
  };
  for (const auto& [text, type] : kNames) {
    if (text == name) return type;
  }
  return std::nullopt;
}

// Reads one file's header. Messages start with the file, and with the tensor where there is one.
class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> file, std::string_view file_name) : file_(file), file_name_(file_name) {}

  Result<SafetensorsFile> Read() {
    QUERN_ASSIGN(const std::string_view header, HeaderText());
    // Each tensor is at most 16 values; the slack is for __metadata__.
    const JsonLimits limits{.max_bytes = kMaxSafetensorsHeaderBytes, .max_depth = 4, .max_values = kMaxTensors * 16};
    auto parsed = ParseJson(header, limits);
    if (!parsed.has_value()) return std::unexpected(parsed.error().WithContext(Where("header")));
    if (!parsed->is_object()) {
      return Error(Code::kCorrupt, Where(fmt::format("header: expected an object, got {}", JsonKindName(*parsed))));
    }
    const json::object& object = parsed->get_object();
    if (object.size() > kMaxTensors + 1) {
      return Error(Code::kExhausted,
                   Where(fmt::format("{} tensors, more than the limit of {}", object.size(), kMaxTensors)));
    }
    SafetensorsFile out;
    ranges_.reserve(object.size());
    for (const auto& entry : object) {
      const std::string_view name(entry.key().data(), entry.key().size());
      if (name == "__metadata__") {
        QUERN_TRY(ReadMetadata(entry.value(), out));
      } else {
        QUERN_TRY(ReadTensor(name, entry.value()));
      }
    }
    QUERN_TRY(CheckRanges());
    out.tensors.reserve(ranges_.size());
    for (Range& range : ranges_) out.tensors.push_back(std::move(range.tensor));
    return out;
  }

 private:
  struct Range {
    uint64_t begin, end;  // in the data part
    StoredTensor tensor;
  };

  std::string Where(std::string_view text) const { return fmt::format("{}: {}", file_name_, text); }
  std::string Where(std::string_view tensor, std::string_view text) const {
    return fmt::format("{}: tensor \"{}\": {}", file_name_, Shown(tensor), text);
  }

  Result<std::string_view> HeaderText() {
    if (file_.size() < 8) {
      return Error(Code::kCorrupt,
                   Where(fmt::format("expected 8 bytes of header size at offset 0, the file has {}", file_.size())));
    }
    uint64_t n_header = 0;
    std::memcpy(&n_header, file_.data(), sizeof n_header);
    if (n_header > kMaxSafetensorsHeaderBytes) {
      return Error(Code::kExhausted, Where(fmt::format("header of {} bytes, more than the limit of {}", n_header,
                                                       kMaxSafetensorsHeaderBytes)));
    }
    if (n_header > file_.size() - 8) {
      return Error(Code::kCorrupt, Where(fmt::format("header of {} bytes at offset 8 ends after the file's {} bytes",
                                                     n_header, file_.size())));
    }
    data_ = file_.subspan(8 + n_header);
    return std::string_view(reinterpret_cast<const char*>(file_.data()) + 8, n_header);
  }

  Result<void> ReadMetadata(const json::value& value, SafetensorsFile& out) {
    if (!value.is_object()) {
      return Error(Code::kCorrupt, Where(fmt::format("__metadata__: expected an object, got {}", JsonKindName(value))));
    }
    for (const auto& entry : value.get_object()) {
      const std::string key(entry.key().data(), entry.key().size());
      if (!entry.value().is_string()) {
        return Error(Code::kCorrupt, Where(fmt::format("__metadata__.{}: expected a string, got {}", Shown(key),
                                                       JsonKindName(entry.value()))));
      }
      out.metadata.emplace(key, View(entry.value().get_string()));
    }
    return {};
  }

  Result<void> ReadTensor(std::string_view name, const json::value& value) {
    if (name.empty() || name.size() > kMaxTensorNameBytes) {
      return Error(Code::kExhausted,
                   Where(name, fmt::format("name of {} bytes, expected 1 to {}", name.size(), kMaxTensorNameBytes)));
    }
    if (!value.is_object()) {
      return Error(Code::kCorrupt, Where(name, fmt::format("expected an object, got {}", JsonKindName(value))));
    }
    const json::object& fields = value.get_object();
    Range range;
    range.tensor.name = name;
    for (const auto& field : fields) {
      const std::string_view key(field.key().data(), field.key().size());
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        return Error(Code::kCorrupt, Where(name, fmt::format("unknown field \"{}\"", Shown(key))));
      }
    }
    QUERN_TRY(ReadDType(name, fields.if_contains("dtype"), range.tensor.dtype));
    QUERN_TRY(ReadShape(name, fields.if_contains("shape"), range.tensor.shape));
    QUERN_TRY(ReadOffsets(name, fields.if_contains("data_offsets"), range));
    const auto expected = TensorBytes(range.tensor.dtype, range.tensor.shape);
    if (!expected.has_value()) return Error(expected.error().code(), Where(name, expected.error().message()));
    if (range.end - range.begin != *expected) {
      return Error(Code::kCorrupt,
                   Where(name, fmt::format("{} {} takes {} bytes, data_offsets [{}, {}] give {}",
                                           Info(range.tensor.dtype).name, ShapeText(range.tensor.shape), *expected,
                                           range.begin, range.end, range.end - range.begin)));
    }
    range.tensor.bytes = data_.subspan(range.begin, range.end - range.begin);
    ranges_.push_back(std::move(range));
    return {};
  }

  Result<void> ReadDType(std::string_view name, const json::value* value, DType& out) {
    if (value == nullptr || !value->is_string()) {
      return Error(Code::kCorrupt, Where(name, fmt::format("dtype: expected a string, got {}",
                                                           value == nullptr ? "nothing" : JsonKindName(*value))));
    }
    const auto type = DTypeOf(View(value->get_string()));
    if (!type.has_value()) {
      return Error(Code::kUnsupported,
                   Where(name, fmt::format("dtype \"{}\" is not one of F32 F16 BF16 F8_E4M3 F64 I8 I16 I32 I64 U8 BOOL",
                                           Shown(View(value->get_string())))));
    }
    out = *type;
    return {};
  }

  Result<void> ReadShape(std::string_view name, const json::value* value, std::vector<int64_t>& out) {
    if (value == nullptr || !value->is_array()) {
      return Error(Code::kCorrupt, Where(name, fmt::format("shape: expected an array, got {}",
                                                           value == nullptr ? "nothing" : JsonKindName(*value))));
    }
    const json::array& dims = value->get_array();
    if (dims.size() > kMaxTensorDims) {
      return Error(Code::kExhausted, Where(name, fmt::format("shape of {} dims, more than the limit of {}", dims.size(),
                                                             kMaxTensorDims)));
    }
    for (const json::value& dim : dims) {
      if (!dim.is_int64() || dim.get_int64() < 0) {
        return Error(Code::kCorrupt, Where(name, fmt::format("shape: expected integers from 0 to 2^63-1, got {}",
                                                             Shown(json::serialize(dim)))));
      }
      out.push_back(dim.get_int64());
    }
    return {};
  }

  Result<void> ReadOffsets(std::string_view name, const json::value* value, Range& out) {
    const json::array* pair = value == nullptr ? nullptr : value->if_array();
    const auto is_offset = [](const json::value& v) { return v.is_int64() && v.get_int64() >= 0; };
    if (pair == nullptr || pair->size() != 2 || !is_offset((*pair)[0]) || !is_offset((*pair)[1])) {
      return Error(Code::kCorrupt,
                   Where(name, fmt::format("data_offsets: expected [begin, end], got {}",
                                           value == nullptr ? "nothing" : Shown(json::serialize(*value)))));
    }
    out.begin = static_cast<uint64_t>((*pair)[0].get_int64());
    out.end = static_cast<uint64_t>((*pair)[1].get_int64());
    if (out.begin > out.end || out.end > data_.size()) {
      return Error(Code::kCorrupt,
                   Where(name, fmt::format("data_offsets [{}, {}] do not lie in the file's {} bytes of data", out.begin,
                                           out.end, data_.size())));
    }
    return {};
  }

  // The format allows neither overlap nor hole, so the sorted ranges must follow each other exactly.
  Result<void> CheckRanges() {
    std::sort(ranges_.begin(), ranges_.end(),
              [](const Range& a, const Range& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    uint64_t at = 0;
    for (const Range& range : ranges_) {
      if (range.begin != at) {
        return Error(Code::kCorrupt, Where(range.tensor.name,
                                           fmt::format("data begins at offset {}, expected {} ({})", range.begin, at,
                                                       range.begin < at ? "tensors overlap" : "bytes of no tensor")));
      }
      at = range.end;
    }
    if (at != data_.size()) {
      return Error(Code::kCorrupt,
                   Where(fmt::format("the tensors take {} bytes, the file has {} bytes of data", at, data_.size())));
    }
    return {};
  }

  std::span<const std::byte> file_;
  std::string_view file_name_;
  std::span<const std::byte> data_;
  std::vector<Range> ranges_;
};

// A shard must be a file beside the index: no folder part, no "..", nothing hidden.
bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name.front() != '.' && name.find('/') == std::string_view::npos &&
         name.find('\\') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

}  // namespace

Result<SafetensorsFile> ParseSafetensors(std::span<const std::byte> file, std::string_view file_name) {
  return HeaderReader(file, file_name).Read();
}

Result<std::map<std::string, std::string>> ParseSafetensorsIndex(std::string_view text, std::string_view file_name) {
  const auto where = [&](std::string_view message) { return fmt::format("{}: {}", file_name, message); };
  auto parsed = ParseJson(text, {.max_bytes = kMaxIndexBytes, .max_depth = 8, .max_values = kMaxTensors * 2});
  if (!parsed.has_value()) return std::unexpected(parsed.error().WithContext(file_name));
  const json::value* map = parsed->is_object() ? parsed->get_object().if_contains("weight_map") : nullptr;
  if (map == nullptr || !map->is_object()) {
    return Error(Code::kCorrupt, where("expected an object with an object \"weight_map\""));
  }
  if (map->get_object().size() > kMaxTensors) {
    return Error(Code::kExhausted, where(fmt::format("weight_map: {} tensors, more than the limit of {}",
                                                     map->get_object().size(), kMaxTensors)));
  }
  std::map<std::string, std::string> out;
  for (const auto& entry : map->get_object()) {
    const std::string name(entry.key().data(), entry.key().size());
    if (!entry.value().is_string()) {
      return Error(Code::kCorrupt, where(fmt::format("weight_map: tensor \"{}\": expected a file name, got {}",
                                                     Shown(name), JsonKindName(entry.value()))));
    }
    const std::string_view shard = View(entry.value().get_string());
    if (!IsPlainFileName(shard)) {
      return Error(Code::kInvalidArgument,
                   where(fmt::format("weight_map: tensor \"{}\": shard \"{}\" is not a plain file name", Shown(name),
                                     Shown(shard))));
    }
    out.emplace(name, shard);
  }
  return out;
}

}  // namespace quern::model
