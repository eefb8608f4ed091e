#include "model/weights.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/os/large_memory.h"
#include "kernels/dequantize.h"
#include "model/architecture.h"
#include "model/f8_scales.h"
#include "model/mtp_names.h"
#include "model/packed_file.h"

namespace quern::model {
namespace {

constexpr size_t kMaxNamesInMessage = 8;

// Parts of published checkpoints that inference does not need.
bool IsKnownExtra(std::string_view name, const ModelConfig& config) {
  const bool has_mtp_form = config.architecture == Architecture::kQwen3Next;  // of others nothing is known
  if (!has_mtp_form && (name.starts_with(kMtpPrefix) || name.starts_with("model.mtp."))) return true;
  if (name.ends_with(".activation_scale")) return true;  // of FP8 with static activations: ours are not quantised
  if (name.ends_with(".rotary_emb.inv_freq") || name == "rope_freqs.weight") return true;
  if (name == "lm_head.weight" && config.tied_embeddings) return true;  // a copy that some savers write
  return false;
}

// A tensor of the multi-token prediction head counts as that, whatever it does there.
std::string_view ClassOf(std::string_view name, std::string_view tensor_class) {
  return name.starts_with(kMtpPrefix) ? "mtp" : tensor_class;
}

const char* HeadName(const ModelConfig& config) {
  return config.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
}

}  // namespace

void EmbeddingTable::Read(TokenId id, float* out) const {
  if (head.rows() > 0) return head.ReadRow(id, out);
  kernels::DequantizeRow(dtype, rows + static_cast<size_t>(id) * row_bytes, d_model, out);
}

WeightLoader::WeightLoader(const Checkpoint& checkpoint, const ProgressFn& progress, const PackedFile* packed,
                           MatrixSink* sink)
    : checkpoint_(checkpoint),
      progress_(progress),
      packed_(packed),
      sink_(sink),
      pool_(ThreadPool::AvailableThreads()),
      n_total_(checkpoint.n_bytes()) {}

Result<const StoredTensor*> WeightLoader::Take(std::string_view name, std::span<const int64_t> shape,
                                               std::string_view tensor_class) {
  QUERN_ASSIGN(const StoredTensor* tensor, checkpoint_.Get(name, shape));
  if (!taken_.emplace(name).second) return tensor;  // the embedding, read again as lm_head
  tensor_class = ClassOf(name, tensor_class);
  auto sum = std::ranges::find(classes_, tensor_class, &ClassSum::name);
  if (sum == classes_.end()) sum = classes_.insert(classes_.end(), ClassSum{.name = std::string(tensor_class)});
  sum->types.emplace(Info(tensor->dtype).name);
  sum->n_parameters += tensor->n_elements();
  sum->n_bytes += tensor->bytes.size();
  n_done_ += tensor->bytes.size();
  if (progress_) progress_(n_done_, n_total_);
  return tensor;
}

Result<kernels::Matrix> WeightLoader::MatrixOf(std::string_view name, int64_t rows, int64_t cols,
                                               std::string_view tensor_class) {
  const std::array<int64_t, 2> shape{rows, cols};
  QUERN_ASSIGN(const StoredTensor* tensor, Take(name, shape, tensor_class));
  QUERN_ASSIGN(const std::vector<float> scales, F8ScalesOf(*tensor, tensor_class));
  kernels::Matrix matrix;
  if (packed_ != nullptr) matrix = packed_->MatrixOf(name, tensor->dtype, rows, cols);
  if (matrix.rows() > 0) {
    n_bytes_ += matrix.packed().size();
  } else {
    QUERN_ASSIGN(matrix, Pack(*tensor, tensor->dtype, rows, cols, tensor->bytes, scales));
    os::ReleaseMappedPages(tensor->bytes);
  }
  if (sink_ != nullptr) QUERN_TRY(sink_->Take(name, matrix));
  return matrix;
}

Result<kernels::Matrix> WeightLoader::Pack(const StoredTensor& tensor, DType type, int64_t rows, int64_t cols,
                                           std::span<const std::byte> data, std::span<const float> f8_scales) {
  const kernels::PackOptions options{.arena = &arena_, .pool = &pool_};
  auto matrix = type == DType::kF8E4M3 ? kernels::Matrix::PrepareF8(rows, cols, data, f8_scales, options)
                                       : kernels::Matrix::Prepare(type, rows, cols, data, options);
  if (!matrix) return std::unexpected(matrix.error().WithContext(checkpoint_.Where(tensor)));
  n_bytes_ += matrix->packed().size();
  return matrix;
}

Result<std::vector<float>> WeightLoader::F8ScalesOf(const StoredTensor& tensor, std::string_view tensor_class) {
  QUERN_ASSIGN(const StoredTensor* scales, FindF8Scales(checkpoint_, tensor));
  if (scales == nullptr) return std::vector<float>();
  taken_.insert(scales->name);
  const auto sum = std::ranges::find(classes_, ClassOf(tensor.name, tensor_class), &ClassSum::name);
  QUERN_CHECK(sum != classes_.end());  // Take has counted the tensor itself
  sum->n_bytes += scales->bytes.size();
  n_done_ += scales->bytes.size();
  return ReadF32(*scales);
}

Result<std::vector<float>> WeightLoader::ReadF32(const StoredTensor& tensor) const {
  if (!kernels::CanDequantize(tensor.dtype)) {
    return Error(Code::kUnsupported, fmt::format("{}: type {}, expected f32, f16, bf16 or a block type",
                                                 checkpoint_.Where(tensor), Info(tensor.dtype).name));
  }
  const int64_t cols = tensor.shape.back();
  const int64_t rows = tensor.n_elements() / cols;
  const size_t row_bytes = RowBytes(tensor.dtype, cols);
  std::vector<float> out(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r) {
    kernels::DequantizeRow(tensor.dtype, tensor.bytes.data() + static_cast<size_t>(r) * row_bytes, cols,
                           out.data() + r * cols);
  }
  return out;
}

Result<std::vector<float>> WeightLoader::VectorOf(std::string_view name, int64_t size, std::string_view tensor_class) {
  const std::array<int64_t, 1> shape{size};
  QUERN_ASSIGN(const StoredTensor* tensor, Take(name, shape, tensor_class));
  n_bytes_ += static_cast<uint64_t>(size) * sizeof(float);
  return ReadF32(*tensor);
}

Result<kernels::Matrix> WeightLoader::F32MatrixOf(std::string_view name, int64_t rows, int64_t cols,
                                                  std::string_view tensor_class) {
  const std::array<int64_t, 2> shape{rows, cols};
  const StoredTensor* stored = checkpoint_.Find(name);
  const bool flat = rows == 1 && stored != nullptr && stored->shape.size() == 1;
  QUERN_ASSIGN(const StoredTensor* tensor, Take(name, std::span(shape).subspan(flat ? 1 : 0), tensor_class));
  QUERN_ASSIGN(const std::vector<float> values, ReadF32(*tensor));
  return Pack(*tensor, DType::kF32, rows, cols, std::as_bytes(std::span(values)), {});
}

Result<EmbeddingTable> WeightLoader::EmbeddingOf(std::string_view name, int64_t rows, int64_t cols) {
  const std::array<int64_t, 2> shape{rows, cols};
  QUERN_ASSIGN(const StoredTensor* tensor, Take(name, shape, "embedding"));
  n_bytes_ += tensor->bytes.size();
  if (!kernels::CanDequantize(tensor->dtype)) {
    return Error(Code::kUnsupported, fmt::format("{}: type {}, expected f32, f16, bf16 or a block type",
                                                 checkpoint_.Where(*tensor), Info(tensor->dtype).name));
  }
  return EmbeddingTable{.dtype = tensor->dtype,
                        .d_model = cols,
                        .row_bytes = RowBytes(tensor->dtype, cols),
                        .rows = tensor->bytes.data(),
                        .head = {}};
}

void WeightLoader::ShareHead(const kernels::Matrix& head, EmbeddingTable* embedding) {
  if (head.type() != embedding->dtype) return;
  embedding->head = head;
  n_bytes_ -= static_cast<uint64_t>(head.rows()) * embedding->row_bytes;
}

Result<std::vector<float>> WeightLoader::NormOf(std::string_view name, int64_t size) {
  QUERN_ASSIGN(std::vector<float> w, VectorOf(name, size, "norms"));
  // GGUF's converters have added it.
  if (config().architecture == Architecture::kQwen3Next && checkpoint_.format() == CheckpointFormat::kSafetensors) {
    for (float& v : w) v += 1.0F;
  }
  return w;
}

Result<AttentionWeights> WeightLoader::Attention(const std::string& prefix) {
  const ModelConfig& c = config();
  const int64_t d_q = int64_t{c.n_heads} * c.head_dim;
  const int64_t d_kv = int64_t{c.n_kv_heads} * c.head_dim;
  const std::string p = prefix + "self_attn.";
  AttentionWeights w;
  QUERN_ASSIGN(w.q, MatrixOf(p + "q_proj.weight", c.attention_gate ? 2 * d_q : d_q, c.d_model, "attention"));
  QUERN_ASSIGN(w.k, MatrixOf(p + "k_proj.weight", d_kv, c.d_model, "attention"));
  QUERN_ASSIGN(w.v, MatrixOf(p + "v_proj.weight", d_kv, c.d_model, "attention"));
  QUERN_ASSIGN(w.o, MatrixOf(p + "o_proj.weight", c.d_model, d_q, "attention"));
  if (c.attention_bias) {
    QUERN_ASSIGN(w.q_bias, VectorOf(p + "q_proj.bias", d_q, "attention"));
    QUERN_ASSIGN(w.k_bias, VectorOf(p + "k_proj.bias", d_kv, "attention"));
    QUERN_ASSIGN(w.v_bias, VectorOf(p + "v_proj.bias", d_kv, "attention"));
  }
  if (c.qk_norm) {
    QUERN_ASSIGN(w.q_norm, NormOf(p + "q_norm.weight", c.head_dim));
    QUERN_ASSIGN(w.k_norm, NormOf(p + "k_norm.weight", c.head_dim));
  }
  return w;
}

Result<LayerWeights> WeightLoader::AttentionLayer(const std::string& prefix) {
  LayerWeights layer;
  layer.kind = LayerKind::kFullAttention;
  QUERN_ASSIGN(layer.mixer_norm, NormOf(prefix + "input_layernorm.weight", config().d_model));
  QUERN_ASSIGN(layer.attention, Attention(prefix));
  QUERN_ASSIGN(layer.ffn_norm, NormOf(prefix + "post_attention_layernorm.weight", config().d_model));
  return layer;
}

Result<FfnWeights> WeightLoader::Ffn(const std::string& prefix, int64_t d_ff, std::string_view tensor_class) {
  FfnWeights w;
  QUERN_ASSIGN(w.gate, MatrixOf(prefix + "gate_proj.weight", d_ff, config().d_model, tensor_class));
  QUERN_ASSIGN(w.up, MatrixOf(prefix + "up_proj.weight", d_ff, config().d_model, tensor_class));
  QUERN_ASSIGN(w.down, MatrixOf(prefix + "down_proj.weight", config().d_model, d_ff, tensor_class));
  return w;
}

Result<MoeWeights> WeightLoader::Moe(const std::string& prefix) {
  const ModelConfig& c = config();
  MoeWeights w;
  QUERN_ASSIGN(w.router, F32MatrixOf(prefix + "gate.weight", c.n_experts, c.d_model, "router"));
  w.experts.reserve(static_cast<size_t>(c.n_experts));
  for (int e = 0; e < c.n_experts; ++e) {
    QUERN_ASSIGN(FfnWeights expert, Ffn(fmt::format("{}experts.{}.", prefix, e), c.d_ff_expert, "experts"));
    w.experts.push_back(std::move(expert));
  }
  if (c.d_ff_shared > 0) QUERN_TRY(SharedExpert(prefix, w));
  return w;
}

Result<void> WeightLoader::SharedExpert(const std::string& prefix, MoeWeights& moe) {
  const ModelConfig& c = config();
  // Some GGUF converters drop the gate's dim of one.
  QUERN_ASSIGN(moe.shared_gate, F32MatrixOf(prefix + "shared_expert_gate.weight", 1, c.d_model, "router"));
  QUERN_ASSIGN(moe.shared, Ffn(prefix + "shared_expert.", c.d_ff_shared, "experts"));
  return {};
}

Result<void> WeightLoader::CheckAllTaken() const {
  std::string names;
  size_t n = 0;
  const StoredTensor* first = nullptr;
  for (const StoredTensor& tensor : checkpoint_.tensors()) {
    if (taken_.contains(tensor.name) || IsKnownExtra(tensor.name, config())) continue;
    if (first == nullptr) first = &tensor;
    if (++n <= kMaxNamesInMessage) names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", tensor.name);
  }
  if (n == 0) return {};
  if (n > kMaxNamesInMessage) names += fmt::format(" and {} more", n - kMaxNamesInMessage);
  return Error(Code::kCorrupt, fmt::format("{}: {} has no place for: {}", checkpoint_.path().string(),
                                           ArchitectureName(config().architecture), names));
}

std::vector<TensorClassInfo> WeightLoader::Classes() const {
  std::vector<TensorClassInfo> out;
  for (const ClassSum& sum : classes_) {
    TensorClassInfo info{.name = sum.name, .types = {}, .n_parameters = sum.n_parameters, .n_bytes = sum.n_bytes};
    for (const std::string& type : sum.types) info.types += (info.types.empty() ? "" : ", ") + type;
    out.push_back(std::move(info));
  }
  return out;
}

Result<void> PackWeights(const Checkpoint& checkpoint, MatrixSink& sink, const ProgressFn& progress) {
  const ModelConfig& config = checkpoint.config();
  const ArchitectureForm& form = FormOf(config.architecture);
  WeightLoader loader(checkpoint, progress, nullptr, &sink);
  for (int layer = 0; layer < config.n_layers; ++layer) {
    QUERN_TRY(form.LoadLayer(loader, layer, fmt::format("model.layers.{}.", layer)));
  }
  QUERN_TRY(loader.MatrixOf(HeadName(config), config.vocab, config.d_model, "lm_head"));
  if (config.n_mtp_layers > 0) QUERN_TRY(loader.Mtp({}));
  return {};
}

Result<Weights> LoadWeights(const Checkpoint& checkpoint, const ProgressFn& progress, const PackedFile* packed) {
  const ModelConfig& config = checkpoint.config();
  const ArchitectureForm& form = FormOf(config.architecture);
  WeightLoader loader(checkpoint, progress, packed);
  Weights w;
  QUERN_ASSIGN(w.embedding, loader.EmbeddingOf("model.embed_tokens.weight", config.vocab, config.d_model));
  w.layers.reserve(static_cast<size_t>(config.n_layers));
  for (int layer = 0; layer < config.n_layers; ++layer) {
    QUERN_ASSIGN(LayerWeights loaded, form.LoadLayer(loader, layer, fmt::format("model.layers.{}.", layer)));
    loaded.kind_idx = static_cast<int>(std::ranges::count(w.layers, loaded.kind, &LayerWeights::kind));
    w.layers.push_back(std::move(loaded));
  }
  QUERN_ASSIGN(w.final_norm, loader.NormOf("model.norm.weight", config.d_model));
  QUERN_ASSIGN(w.lm_head, loader.MatrixOf(HeadName(config), config.vocab, config.d_model, "lm_head"));
  if (config.tied_embeddings) loader.ShareHead(w.lm_head, &w.embedding);
  if (config.n_mtp_layers > 0) {
    QUERN_ASSIGN(w.mtp, loader.Mtp(w.embedding));
  }
  QUERN_TRY(loader.CheckAllTaken());

  const auto attention = std::ranges::find(w.layers, LayerKind::kFullAttention, &LayerWeights::kind);
  QUERN_CHECK(attention != w.layers.end());  // FinishConfig refuses a model without
  if (attention->attention.q.type() == DType::kF32) w.kv_type = kernels::KvType::kF32;
  w.classes = loader.Classes();
  w.n_bytes = loader.n_bytes();
  return w;
}

}  // namespace quern::model
