// What a forward pass must read and compute at least, counted from shapes: the floor that measurements are held against
// and the base of predictions. An operation is one multiplication or one addition.
#pragma once

#include <cstdint>
#include <map>

#include "model/checkpoint.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace quern::model {

// Operations by the arithmetic that they need.
struct Operations {
  double int8 = 0;  // block-quantised weights
  double bf16 = 0;  // bf16 weights
  double f32 = 0;   // f32, f16 and FP8 weights, recurrence

  Operations& operator+=(const Operations& other);
  Operations operator*(double factor) const { return {int8 * factor, bf16 * factor, f32 * factor}; }
};

// A group of matrices: bytes as stored, outputs of all together, numbers of weights by stored type, and operations for
// each row that passes them.
struct MatrixWork {
  double bytes = 0;
  double outputs = 0;
  std::map<DType, double> weights;
  Operations per_row;

  // [n_out, n_in] weights.
  void Add(DType type, int64_t n_out, int64_t n_in, double n_bytes);
  MatrixWork& operator+=(const MatrixWork& other);
};

// Per model; sums over all layers.
struct ModelWork {
  MatrixWork dense;    // passed by every row: mixers, dense feed-forward, routers, shared experts; no vectors
  MatrixWork experts;  // all experts of all layers; per_row is of all of them together
  MatrixWork head;     // lm_head, passed by rows that want logits
  // Parts of dense and experts that rows without logits do not pass: the last layer but its keys and values (empty for
  // a model with a multi-token prediction head, and where the last layer is recurrent).
  MatrixWork last_dense, last_experts;
  double experts_used = 0;            // of n_experts, by one row
  double n_experts = 0;               // 0: no MoE layers
  double kv_values_per_token = 0;     // keys and values stored per token
  double attention_ops_per_pair = 0;  // for one new token and one token that it sees
  double last_attention_share = 0;    // of these in the last layer, for rows with logits only
  double state_bytes = 0;             // matrices of the recurrent state of one sequence
  double recurrent_ops_per_row = 0;

  // The share of the experts that n_rows rows meet when each chooses its own at random: 1 - (1 - used / n)^n_rows.
  double ExpertShare(double n_rows) const;
  // All bytes that a step over n_rows rows reads of them.
  double ExpertBytes(double n_rows) const { return experts.bytes * ExpertShare(n_rows); }
};

// Counts what is in the file. The multi-token prediction head, which a step of the model does not pass, is left out.
ModelWork WorkOf(const Checkpoint& checkpoint);

// The same for a model that is not at hand, its matrices all of one type of bytes_per_weight.
ModelWork WorkOf(const ModelConfig& config, DType type, double bytes_per_weight);

// One forward pass.
struct StepShape {
  double n_rows = 1;
  double n_logit_rows = 1;
  double n_sequences = 1;
  double pairs = 0;      // sum over rows of the tokens that the row sees
  double kv_tokens = 0;  // sum over sequences of the tokens stored before the step: read at least once
};

// How keys and values are stored, as attention meets them.
struct KvWork {
  double value_bytes = 2;  // of one stored number, scales included
  // Of attention's operations: 16-bit integers', and bf16 dot products; the others are f32.
  double i16_share = 0;
  double bf16_share = 0;
};

KvWork KvWorkOf(const ModelConfig& config, kernels::KvTypes types);

struct StepWork {
  double weight_bytes = 0;
  double kv_bytes = 0;
  double state_bytes = 0;  // read once, and written once a chunk
  Operations ops;          // of matrices
  Operations attention;
  double recurrent_ops = 0;

  double bytes() const { return weight_bytes + kv_bytes + state_bytes; }
  StepWork& operator+=(const StepWork& other);
};

StepWork WorkOf(const ModelWork& model, const StepShape& step, const KvWork& kv);

// Activations that the step moves through memory: each output of a matrix is fetched and written, and read twice more,
// by what comes next (a norm, SwiGLU, the sum over experts) and as the next matrix's input.
double ActivationBytes(const ModelWork& model, const StepShape& step);

// Multiplications and additions of the step's attention, whatever they are done in.
double AttentionOps(const ModelWork& model, const StepShape& step);

}  // namespace quern::model
