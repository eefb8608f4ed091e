// A loaded checkpoint that can compute. State is split in four: ModelConfig (numbers), the weights inside Model (const
// after load), Activations (scratch, one per caller of Forward), SequenceState (one per sequence: its place in the KV
// pool and its recurrent state).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/kv_layout.h"
#include "model/checkpoint.h"
#include "model/config.h"

namespace quern::model {

using TokenId = int32_t;

class Model;
struct Weights;

// Tokens per KV page. A sequence holds whole pages; a page belongs to one sequence (sharing comes with the prefix
// cache).
inline constexpr int kKvPageTokens = 32;

// Memory for keys and values of all sequences. Owned by the engine, engine thread only, outlives its SequenceStates.
class KvPool {
 public:
  // Room for n_pages * kKvPageTokens tokens of this model. Address space is taken now, memory by the system when a page
  // is first written. types: what keys and values are stored as; default: the model's. Errors: kInvalidArgument
  // (n_pages below 1 or beyond 2^26), kExhausted (no address space; with numbers).
  static Result<std::unique_ptr<KvPool>> Create(const Model& model, int n_pages,
                                                std::optional<kernels::KvTypes> types = {});
  // The same for the keys and values of the multi-token prediction head alone: one layer of attention, no recurrent
  // state, so that its sequences can be cut anywhere. Errors: as Create, and kUnsupported (a model without the head).
  static Result<std::unique_ptr<KvPool>> CreateForMtp(const Model& model, int n_pages,
                                                      std::optional<kernels::KvTypes> types = {});
  virtual ~KvPool() = default;

  virtual int n_pages() const = 0;
  virtual int n_free_pages() const = 0;
  virtual size_t bytes_total() const = 0;
  virtual size_t bytes_used() const = 0;  // of the pages that sequences hold, whole pages

  // Recurrent state lies outside the pages: bytes that every sequence needs from its first token on, and bytes that
  // sequences and snapshots of this pool hold now. 0 for a model without recurrent layers.
  virtual size_t state_bytes_per_sequence() const { return 0; }
  virtual size_t state_bytes_used() const { return 0; }
};

// The recurrent state of a sequence at one position. Owned by whoever took it; engine thread only; the pool outlives
// it. Its keys and values stay in the sequence: a snapshot is of use only together with the sequence it was taken from.
class StateSnapshot {
 public:
  virtual ~StateSnapshot() = default;
  virtual int n_tokens() const = 0;
  virtual size_t bytes() const = 0;  // 0 for a model without recurrent layers
};

// One sequence's timeline; returns its pages to the pool on destruction. Engine thread only.
class SequenceState {
 public:
  static std::unique_ptr<SequenceState> Create(KvPool& pool);
  virtual ~SequenceState() = default;

  // Tokens whose keys and values are stored: the position of the next token.
  virtual int n_tokens() const = 0;

  // Makes sure that n more tokens fit; the first call takes the recurrent state's memory too. Errors: kExhausted (no
  // free pages, no memory; nothing changed).
  virtual Result<void> Reserve(int n) = 0;

  // Forgets everything from position n on and returns the pages that are then empty; 0 <= n <= n_tokens(). A recurrent
  // state holds one position only: with recurrent layers n must be n_tokens() or 0, any other position is reached by
  // Restore. Errors: kUnsupported (another n with recurrent layers; nothing changed).
  virtual Result<void> Truncate(int n) = 0;

  // The state at n_tokens(), to come back to. Errors: kExhausted (no memory), kInvalidArgument (see CanContinue).
  virtual Result<std::unique_ptr<StateSnapshot>> Snapshot() const {
    return Error(Code::kUnsupported, "this sequence takes no snapshots");
  }

  // Goes back to where a snapshot of this sequence was taken; works for every model, any number of times, and mends a
  // state that cannot continue. Errors: kInvalidArgument (a snapshot of another sequence, or what it was taken of has
  // been forgotten meanwhile; nothing changed).
  virtual Result<void> Restore(const StateSnapshot& /*snapshot*/) {
    return Error(Code::kUnsupported, "this sequence takes no snapshots");
  }

  // A second sequence with the same tokens behind it, in pages and state of its own. Errors: kExhausted (no free pages,
  // no memory), kInvalidArgument (see CanContinue).
  virtual Result<std::unique_ptr<SequenceState>> Fork() const {
    return Error(Code::kUnsupported, "this sequence cannot be forked");
  }

  // False after a Forward that threw in the middle: a recurrent state is then neither here nor there. Forward, Snapshot
  // and Fork refuse the sequence until Restore or Truncate(0).
  virtual bool CanContinue() const { return true; }
};

enum class LogitsFor { kNone, kLast, kAll };

// Consecutive new tokens of one sequence; the first stands at sequence->n_tokens(). A batch never names one
// sequence twice.
struct Segment {
  SequenceState* sequence;
  std::span<const TokenId> tokens;  // not empty; ids in [0, vocab)
  LogitsFor logits = LogitsFor::kLast;
};

// Consecutive rows of the multi-token prediction head. A row stands for one position of the text: it has that
// position's hidden state and the token that follows, and predicts the token after that one. To draft further tokens,
// the head reads its own hidden state and the token it has drafted.
struct MtpSegment {
  SequenceState* sequence;          // of a pool of KvPool::CreateForMtp; row i is stored at n_tokens() + i
  std::span<const TokenId> tokens;  // not empty; ids in [0, vocab)
  std::span<const float> hidden;    // [tokens.size(), d_model]: ForwardResult::hidden of a position each
  LogitsFor logits = LogitsFor::kLast;
};

// Called while loading; done goes from 0 to total (bytes). Optional.
using ProgressFn = std::function<void(uint64_t done, uint64_t total)>;

class PackedFile;

struct LoadOptions {
  ProgressFn progress;
  std::shared_ptr<const PackedFile>
      packed;  // matrices are taken from it as far as it has them; null: from the checkpoint
  // Positions stretched by YaRN of this factor, whatever the checkpoint says; see WithYarn.
  std::optional<double> yarn_factor;
};

// What one kind of tensor takes in the checkpoint, for `quern inspect`.
struct TensorClassInfo {
  std::string name;   // "embedding", "attention", "linear", "experts", "ffn", "router", "norms", "lm_head", "mtp"
  std::string types;  // e.g. "bf16" or "q4_k, q6_k"
  int64_t n_parameters = 0;
  uint64_t n_bytes = 0;
};

// Rows in batch order; valid until the next Forward or ForwardMtp on the activations.
struct ForwardResult {
  std::span<const float> logits;  // [n_rows, vocab]
  int n_rows = 0;                 // that want logits
  // [all rows, d_model], after the final norm, of a model with a multi-token prediction head and of the head; else
  // empty.
  std::span<const float> hidden;
};

// Scratch for Forward, sized on first use and reused. One caller at a time.
class Activations {
 public:
  static std::unique_ptr<Activations> Create();
  virtual ~Activations() = default;
};

// Receives a layer's output for tests and goldens: layer -1 is the embedding, n_layers the final norm.
// x: [n_rows, d_model] f32.
using LayerObserver = std::function<void(int layer, std::span<const float> x, int n_rows)>;

// Thread-safe after Load (Forward takes all mutable state as arguments).
class Model {
 public:
  // path: a directory with config.json and safetensors, or a .gguf file (the first part when split).
  // Errors: kNotFound, kCorrupt, kUnsupported; messages name file, tensor, offset, expected and seen.
  static Result<std::unique_ptr<Model>> Load(const std::filesystem::path& path, const LoadOptions& options = {});
  // The same from an open checkpoint, which the model keeps because its weights are views into it.
  static Result<std::unique_ptr<Model>> Load(std::shared_ptr<const Checkpoint> checkpoint,
                                             const LoadOptions& options = {});
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;  // the checkpoint's, with the YaRN of LoadOptions
  virtual const Checkpoint& checkpoint() const = 0;
  virtual std::vector<TensorClassInfo> DescribeTensors() const = 0;
  // Bytes of the weights as computed with: matrices in their packed form, the embedding as mapped.
  virtual uint64_t weight_bytes() const = 0;
  // What it computes with, for those who look inside (model/importance_collect.h); null for a double without.
  virtual const Weights* weights() const { return nullptr; }
  // What keys and values are stored as unless the pool says otherwise: f32 for a checkpoint in f32, else i16.
  virtual kernels::KvTypes default_kv_types() const = 0;

  // Computes all segments in one batch and appends their tokens to the sequences. A row's result depends on that
  // row's sequence alone: not on the batch, not on how the sequence was cut into segments, not on pool.n_threads().
  // Space must have been reserved. Errors: kInvalidArgument (no segments, an empty one, a sequence named twice, an id
  // out of range, context exceeded, space not reserved, a sequence that cannot continue); then nothing has changed.
  virtual Result<ForwardResult> Forward(std::span<const Segment> segments, Activations& activations, ThreadPool& pool,
                                        const LayerObserver* observer = nullptr) const = 0;

  // Whether the checkpoint has a multi-token prediction head.
  virtual bool has_mtp() const { return false; }
  // Computes the head alone, with the same promises. Segments' hidden states may be those of the last result on these
  // activations. Errors: as Forward, and kUnsupported (there is no head), kInvalidArgument (hidden of another size).
  virtual Result<ForwardResult> ForwardMtp(std::span<const MtpSegment> /*segments*/, Activations& /*activations*/,
                                           ThreadPool& /*pool*/) const {
    return Error(Code::kUnsupported, "this model has no multi-token prediction head");
  }
};

// weight_bytes() of the model that a checkpoint becomes, told before anything is loaded: types that kernels do not
// compute with take more memory than in the file (kernels/matrix.h).
uint64_t WeightBytesOf(const Checkpoint& checkpoint);

}  // namespace quern::model
