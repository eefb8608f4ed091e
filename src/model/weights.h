// A checkpoint's tensors as the forward pass reads them. Const after LoadWeights. Matrices are packed while loading; of
// the checkpoint's mapping only the embedding stays in use.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "kernels/matrix.h"
#include "kernels/tile.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/model.h"

namespace quern::model {

struct AttentionWeights {
  kernels::Matrix q;                  // [n_heads * head_dim, d_model]; with a gate [n_heads * 2 * head_dim, d_model]:
                                      // each head's query rows, then its gate rows
  kernels::Matrix k, v;               // [n_kv_heads * head_dim, d_model]
  kernels::Matrix o;                  // [d_model, n_heads * head_dim]
  std::vector<float> q_bias;          // [n_heads * head_dim], empty without biases
  std::vector<float> k_bias, v_bias;  // [n_kv_heads * head_dim]
  std::vector<float> q_norm, k_norm;  // [head_dim], empty without q/k norm
};

// Values: n_linear_value_heads * linear_value_dim; channels: ModelConfig::ConvChannels().
struct DeltaNetWeights {
  // One of two forms, as the file has it. qkvz: [channels + values, d_model], per key head its query, key, value and
  // output gate rows. Or apart, all queries, keys and values in qkv [channels, d_model] and all gates in z
  // [values, d_model]; then qkvz is empty.
  kernels::Matrix qkvz;
  kernels::Matrix qkv, z;
  kernels::Matrix ba;       // [2 * n_linear_value_heads, d_model], per key head its beta rows, then its decay rows
  kernels::Matrix out;      // [d_model, values]
  std::vector<float> conv;  // [conv_width, channels]
  std::vector<float> decay_rate;  // [n_linear_value_heads], negative: -exp(A_log)
  std::vector<float> dt_bias;     // [n_linear_value_heads]
  std::vector<float> norm;        // [linear_value_dim]
};

struct FfnWeights {
  kernels::Matrix gate, up;  // [d_ff, d_model]
  kernels::Matrix down;      // [d_model, d_ff]
};

struct MoeWeights {
  kernels::Matrix router;           // [n_experts, d_model]: always f32, so that no type decides which experts run
  std::vector<FfnWeights> experts;  // d_ff_expert wide
  kernels::Matrix shared_gate;      // [1, d_model], f32; empty without a shared expert
  FfnWeights shared;                // d_ff_shared wide
};

struct LayerWeights {
  LayerKind kind = LayerKind::kFullAttention;
  std::vector<float> mixer_norm, ffn_norm;  // [d_model]
  AttentionWeights attention;               // of kFullAttention
  DeltaNetWeights delta_net;                // of kGatedDeltaNet
  int kind_idx = 0;  // how many layers of this kind stand before: its place in the KV pages or states
  std::variant<FfnWeights, MoeWeights> ffn;
};

// Rows are only looked up, so any stored type that can be read as f32 will do.
struct EmbeddingTable {
  DType dtype = DType::kF32;
  int64_t d_model = 0;
  size_t row_bytes = 0;
  const std::byte* rows = nullptr;  // [vocab, row_bytes], where the file is mapped
  kernels::Matrix head;             // not empty: the same rows packed, to be read instead

  void Read(TokenId id, float* out) const;  // out: [d_model]
};

// The multi-token prediction head of qwen3_next: reads the hidden state of a position and the token that follows it,
// and predicts the token after that.
struct MtpWeights {
  EmbeddingTable embedding;                    // of its own, or the model's
  std::vector<float> token_norm, hidden_norm;  // [d_model], of the two inputs
  kernels::Matrix fc;                          // [d_model, 2 * d_model]; the embedding's columns come first
  LayerWeights layer;                          // of kFullAttention
  std::vector<float> final_norm;               // [d_model]
  kernels::Matrix lm_head;                     // [vocab, d_model]; empty: the model's
};

struct Weights {
  EmbeddingTable embedding;
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;  // [d_model]
  kernels::Matrix lm_head;        // [vocab, d_model]; the embedding's bytes when tied
  std::optional<MtpWeights> mtp;  // when the checkpoint has one

  kernels::KvType kv_type = kernels::KvType::kI16;  // f32 when the first attention layer's matrices are
  std::vector<TensorClassInfo> classes;
  uint64_t n_bytes = 0;  // as computed with: packed matrices, vectors, the embedding
};

class PackedFile;

// Sees every matrix as it is made, in the order of the layers.
class MatrixSink {
 public:
  virtual ~MatrixSink() = default;
  virtual Result<void> Take(std::string_view name, const kernels::Matrix& matrix) = 0;
};

// Takes tensors out of a checkpoint by name, checks their shapes, and remembers which were taken.
class WeightLoader {
 public:
  // packed: where matrices are taken from when it has them. sink: gets each matrix. Both may be null.
  WeightLoader(const Checkpoint& checkpoint, const ProgressFn& progress, const PackedFile* packed = nullptr,
               MatrixSink* sink = nullptr);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const ModelConfig& config() const { return checkpoint_.config(); }

  // Errors: kCorrupt (missing, wrong shape), kUnsupported (a type that nothing computes with); all name file and
  // tensor.
  Result<kernels::Matrix> MatrixOf(std::string_view name, int64_t rows, int64_t cols, std::string_view tensor_class);
  Result<std::vector<float>> VectorOf(std::string_view name, int64_t size, std::string_view tensor_class);
  // The same converted to f32, whatever the checkpoint holds; one row may be stored without its dim of one.
  Result<kernels::Matrix> F32MatrixOf(std::string_view name, int64_t rows, int64_t cols, std::string_view tensor_class);
  Result<EmbeddingTable> EmbeddingOf(std::string_view name, int64_t rows, int64_t cols);
  // Of tied embeddings one copy is enough: rows are read from the head, unless packing it has converted them.
  void ShareHead(const kernels::Matrix& head, EmbeddingTable* embedding);

  // The weights of a norm that multiplies: 1 is added where the file stores the distance from one.
  Result<std::vector<float>> NormOf(std::string_view name, int64_t size);

  // What several architectures share. prefix: "model.layers.N.". The first two leave ffn empty.
  Result<LayerWeights> AttentionLayer(const std::string& prefix);
  Result<LayerWeights> DeltaNetLayer(const std::string& prefix);
  Result<FfnWeights> Ffn(const std::string& prefix, int64_t d_ff, std::string_view tensor_class);
  Result<MoeWeights> Moe(const std::string& prefix);

  // The multi-token prediction head. embedding: the model's. Errors: kCorrupt (a part of it is missing or misshapen).
  Result<MtpWeights> Mtp(const EmbeddingTable& embedding);

  // Errors: kCorrupt, naming tensors that are in the checkpoint and that nobody took: a model with more parts than we
  // compute would answer wrongly.
  Result<void> CheckAllTaken() const;

  std::vector<TensorClassInfo> Classes() const;
  uint64_t n_bytes() const { return n_bytes_; }

 private:
  struct ClassSum {
    std::string name;
    std::set<std::string> types;
    int64_t n_parameters = 0;
    uint64_t n_bytes = 0;
  };

  Result<AttentionWeights> Attention(const std::string& prefix);
  Result<std::vector<float>> ConvOf(const std::string& name);
  Result<std::vector<float>> DecayRateOf(const std::string& prefix);
  Result<MtpWeights> MtpParts(const EmbeddingTable& embedding);
  Result<void> SharedExpert(const std::string& prefix, MoeWeights& moe);
  Result<const StoredTensor*> Take(std::string_view name, std::span<const int64_t> shape,
                                   std::string_view tensor_class);
  // Empty for a tensor without scales. Errors: as FindF8Scales.
  Result<std::vector<float>> F8ScalesOf(const StoredTensor& tensor, std::string_view tensor_class);
  Result<std::vector<float>> ReadF32(const StoredTensor& tensor) const;
  Result<kernels::Matrix> Pack(const StoredTensor& tensor, DType type, int64_t rows, int64_t cols,
                               std::span<const std::byte> data, std::span<const float> f8_scales);

  const Checkpoint& checkpoint_;
  const ProgressFn& progress_;
  const PackedFile* packed_;
  MatrixSink* sink_;
  kernels::PackedArena arena_;
  ThreadPool pool_;  // packs; nobody computes while a model loads
  std::set<std::string, std::less<>> taken_;
  std::vector<ClassSum> classes_;
  uint64_t n_done_ = 0;
  uint64_t n_total_ = 0;
  uint64_t n_bytes_ = 0;
};

// Everything the architecture of the checkpoint's config needs. The checkpoint must outlive the result.
Result<Weights> LoadWeights(const Checkpoint& checkpoint, const ProgressFn& progress,
                            const PackedFile* packed = nullptr);

// Prepares the same matrices one layer after the other, for the sink alone. Errors: as LoadWeights, and the sink's.
Result<void> PackWeights(const Checkpoint& checkpoint, MatrixSink& sink, const ProgressFn& progress);

}  // namespace quern::model
