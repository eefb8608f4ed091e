// Fuzz target: any bytes as a safetensors file. Every byte of every tensor that comes out is touched.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/safetensors.h"
#include "model/stacked_experts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quern::model;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  auto file = ParseSafetensors(bytes, "input");
  uint64_t sum = 0;
  uint64_t n_bytes = 0;
  if (file.has_value()) {
    const auto tensors = UnstackExperts(std::move(file->tensors));
    if (tensors.has_value()) {
      for (const StoredTensor& tensor : *tensors) {
        for (const std::byte byte : tensor.bytes) sum += static_cast<uint64_t>(byte);
        n_bytes += tensor.bytes.size();
        if (*TensorBytes(tensor.dtype, tensor.shape) != tensor.bytes.size()) std::abort();
      }
      if (n_bytes > size) std::abort();  // no byte may belong to two tensors
    }
  }
  const auto index = ParseSafetensorsIndex({reinterpret_cast<const char*>(data), size}, "input");
  return index.has_value() && sum == ~uint64_t{0} ? 1 : 0;
}
