// Fuzz target: any bytes as a GGUF file; what parses is read through every accessor.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/gguf.h"
#include "model/stacked_experts.h"

namespace {

using quern::model::GgufFile;
using quern::model::StoredTensor;

uint64_t ReadValues(const GgufFile& file) {
  uint64_t sum = 0;
  for (const std::string_view key : file.Keys()) {
    if (const auto text = file.String(key)) {
      for (const char c : *text) sum += static_cast<uint8_t>(c);
    }
    if (const auto strings = file.Strings(key)) {
      for (const std::string_view text : *strings) sum += text.empty() ? 0 : static_cast<uint8_t>(text.back());
    }
    if (const auto integers = file.Integers(key)) sum += integers->size();
    if (const auto number = file.Number(key)) sum += *number > 0 ? 1 : 0;
    if (const auto integer = file.Integer(key)) sum += *integer > 0 ? 1 : 0;
    if (const auto boolean = file.Bool(key)) sum += *boolean ? 1 : 0;
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = GgufFile::Parse({reinterpret_cast<const std::byte*>(data), size}, "input");
  if (!file.has_value()) return 0;
  uint64_t sum = ReadValues(*file);
  std::vector<StoredTensor> tensors(file->tensors().begin(), file->tensors().end());
  for (StoredTensor& tensor : tensors) {
    if (file->FindTensor(tensor.name) == nullptr) std::abort();
    tensor.name = quern::model::HuggingFaceName(tensor.name);
  }
  uint64_t n_bytes = 0;
  if (const auto unstacked = UnstackExperts(std::move(tensors))) {
    for (const StoredTensor& tensor : *unstacked) {
      for (const std::byte byte : tensor.bytes) sum += static_cast<uint64_t>(byte);
      n_bytes += tensor.bytes.size();
      if (*quern::model::TensorBytes(tensor.dtype, tensor.shape) != tensor.bytes.size()) std::abort();
    }
  }
  if (n_bytes > size) std::abort();  // no byte may belong to two tensors
  const auto config = ReadGgufConfig(*file, file->tensors());
  if (config.has_value() && config->CountParameters() <= 0) std::abort();
  const auto generation = ReadGgufGeneration(*file);
  const auto tokenizer = ReadGgufTokenizer(*file);
  if (tokenizer.has_value() && tokenizer->tokens.size() != tokenizer->token_types.size()) std::abort();
  return generation.has_value() && sum == ~uint64_t{0} ? 1 : 0;
}
