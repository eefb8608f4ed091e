// Reader of GGUF files, versions 2 and 3, little-endian (docs/formats/gguf.md). Metadata values stay in the file's
// bytes until they are asked for: the 150,000 strings of a tokenizer are walked once for their bounds and never copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/config.h"
#include "model/stored_tensor.h"

namespace quern::model {

inline constexpr uint64_t kMaxGgufKeys = uint64_t{1} << 16;
inline constexpr uint64_t kMaxGgufKeyBytes = 256;
inline constexpr uint64_t kMaxGgufArrayCount = uint64_t{1} << 24;
inline constexpr uint64_t kMaxGgufStringBytes = uint64_t{1} << 24;
inline constexpr uint32_t kMaxGgufAlignment = 1U << 16;
inline constexpr uint32_t kMaxGgufDims = 4;
inline constexpr int kMaxGgufParts = 4096;

// The numbers are the format's.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// The format's number for a tensor type; nullopt when it has none (f8_e4m3, bool, u8).
std::optional<uint32_t> GgufTypeId(DType type);

// One file's header, and views into the bytes it was parsed from, which must outlive it. Immutable after Parse.
// Accessors: an absent key or a wrong type is kCorrupt, naming file, key, expected and seen. OrNone variants take an
// absent key as nullopt. Integers of any width serve as integers, integers and floats as numbers.
class GgufFile {
 public:
  // file: the whole file. Every count, length and offset is checked before use.
  // Errors: kCorrupt, kUnsupported (version, big-endian, a tensor type), kExhausted (a limit above).
  static Result<GgufFile> Parse(std::span<const std::byte> file, std::string_view file_name);

  uint32_t version() const { return version_; }
  const std::string& file_name() const { return file_name_; }

  // In file order, with the file's own names and PyTorch's dim order (outermost first).
  std::span<const StoredTensor> tensors() const { return tensors_; }
  const StoredTensor* FindTensor(std::string_view name) const;  // null when absent

  bool Has(std::string_view key) const { return FindValue(key) != nullptr; }
  std::vector<std::string_view> Keys() const;  // sorted

  Result<std::string_view> String(std::string_view key) const;
  Result<int64_t> Integer(std::string_view key) const;
  Result<double> Number(std::string_view key) const;
  Result<bool> Bool(std::string_view key) const;
  Result<std::optional<std::string_view>> StringOrNone(std::string_view key) const;
  Result<std::optional<int64_t>> IntegerOrNone(std::string_view key) const;
  Result<std::optional<double>> NumberOrNone(std::string_view key) const;
  Result<std::optional<bool>> BoolOrNone(std::string_view key) const;

  // Arrays; views of strings are into the file's bytes. Integers also takes a single integer as an array of one.
  Result<std::vector<std::string_view>> Strings(std::string_view key) const;
  Result<std::vector<int64_t>> Integers(std::string_view key) const;
  // Yes or no: bools, or integers of 0 and 1.
  Result<std::vector<bool>> Flags(std::string_view key) const;

  // The value as the file has it, from its type on; to be put into another file. Empty when there is no such key.
  std::vector<std::byte> EncodedValue(std::string_view key) const;

 private:
  friend class GgufParser;

  struct Value {
    std::string_view key;
    GgufType type;  // of the value, or of the elements of an array
    bool is_array;
    uint64_t count;            // elements; 1 unless is_array
    const std::byte* payload;  // first element
  };

  const Value* FindValue(std::string_view key) const;
  Result<const Value*> Require(std::string_view key, bool is_array, std::string_view expected) const;
  Status Wrong(const Value& value, std::string_view expected) const;

  std::string file_name_;
  uint32_t version_ = 0;
  std::vector<Value> values_;          // sorted by key
  std::vector<StoredTensor> tensors_;  // in file order
  std::vector<uint32_t> by_name_;      // indices into tensors_
};

// What a tokenizer needs, as the file has it. Views into the file's bytes.
struct GgufTokenizer {
  std::string_view model;                // "gpt2" is byte-level BPE
  std::string_view pre;                  // "qwen2"; empty when absent
  std::vector<std::string_view> tokens;  // byte-level alphabet for normal tokens, literal text for added ones
  std::vector<int32_t> token_types;      // as many as tokens: 1 normal, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<std::string_view> merges;  // "left right"
  std::optional<int32_t> bos, eos, eot, padding;
  std::optional<int32_t> fim_prefix, fim_suffix, fim_middle, fim_pad, fim_repo, fim_separator;
  std::vector<int32_t> eos_ids;  // tokenizer.ggml.eos_token_ids, when a converter wrote it
  bool add_bos = false;
  bool add_eos = false;
  std::string_view chat_template;                          // empty when absent
  std::map<std::string, std::string_view> chat_templates;  // by name: tokenizer.chat_template.<name>
};

// Errors: kCorrupt (keys missing, of a wrong type, lists of different lengths, ids outside the tokens), kUnsupported
// (a tokenizer model that is not byte-level BPE).
Result<GgufTokenizer> ReadGgufTokenizer(const GgufFile& file);

// The numbers of a model, from <architecture>.* keys. Needs the tensor names for what no key says (tied embeddings,
// vocabulary rows). tensor_names: of all parts, the file's own names. Errors: kCorrupt, kUnsupported, kInvalidArgument.
Result<ModelConfig> ReadGgufConfig(const GgufFile& file, std::span<const StoredTensor> all_tensors);

// general.sampling.* and the tokenizer's end-of-sequence ids.
Result<GenerationConfig> ReadGgufGeneration(const GgufFile& file);

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; stacked experts become
// "model.layers.3.mlp.experts.gate_proj". A name that is not in the table of docs/formats/gguf.md comes back unchanged.
std::string HuggingFaceName(std::string_view gguf_name);

}  // namespace quern::model
