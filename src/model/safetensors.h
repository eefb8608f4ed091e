// Reader of .safetensors files (docs/formats/safetensors.md) and of the index that ties shards together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/stored_tensor.h"

namespace quern::model {

inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;  // as the format's own library has it
inline constexpr size_t kMaxTensors = size_t{1} << 19;               // a 480B in 4-bit packing has about 120,000
inline constexpr size_t kMaxTensorDims = 8;
inline constexpr size_t kMaxTensorNameBytes = 512;
inline constexpr size_t kMaxIndexBytes = size_t{64} << 20;
inline constexpr size_t kMaxShards = 4096;

struct SafetensorsFile {
  std::vector<StoredTensor> tensors;            // in the order of their bytes; views into the bytes given
  std::map<std::string, std::string> metadata;  // __metadata__
};

// file: the whole file, file_name: for messages. Every range is checked: inside the file, as long as dtype and shape
// need, no overlap, no hole, nothing after the last.
// Errors: kCorrupt, kUnsupported (a dtype we do not read), kExhausted (a limit above, named).
Result<SafetensorsFile> ParseSafetensors(std::span<const std::byte> file, std::string_view file_name);

// weight_map of model.safetensors.index.json: tensor name -> shard file name, a plain name in the same folder.
// Errors: as above, and kInvalidArgument for a shard name that is a path.
Result<std::map<std::string, std::string>> ParseSafetensorsIndex(std::string_view json, std::string_view file_name);

}  // namespace quern::model
