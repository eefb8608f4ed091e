// What a checkpoint's weights take in memory, told from its tensors alone; what weights.cc makes of each.
#include "kernels/matrix.h"
#include "model/f8_scales.h"
#include "model/model.h"

namespace quern::model {
namespace {

uint64_t BytesOf(const StoredTensor& tensor, bool tied) {
  const std::string_view name = tensor.name;
  const auto as_f32 = static_cast<uint64_t>(tensor.n_elements()) * sizeof(float);
  const bool gate = name.ends_with(".shared_expert_gate.weight");  // one row; GGUF has it flat
  if (gate || name.ends_with(".mlp.gate.weight")) {
    const int64_t cols = tensor.shape.back();
    return kernels::Matrix::BytesWhenPacked(DType::kF32, tensor.n_elements() / cols, cols);
  }
  if (tensor.shape.size() != 2 || name.ends_with(".conv1d.weight")) return as_f32;
  const uint64_t packed = kernels::Matrix::BytesWhenPacked(tensor.dtype, tensor.shape[0], tensor.shape[1]);
  if (!name.ends_with("embed_tokens.weight")) return packed;
  // Rows are looked up where they are mapped, or in the head that shares them (WeightLoader::ShareHead).
  const bool is_head = tied && name == "model.embed_tokens.weight";
  if (is_head && kernels::ComputeType(tensor.dtype) == tensor.dtype) return packed;
  return tensor.bytes.size() + (is_head ? packed : 0);
}

}  // namespace

uint64_t WeightBytesOf(const Checkpoint& checkpoint) {
  uint64_t total = 0;
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    if (tensor.name.ends_with(kF8ScaleSuffix)) continue;  // packed with its matrix
    total += BytesOf(tensor, checkpoint.config().tied_embeddings);
  }
  return total;
}

}  // namespace quern::model
